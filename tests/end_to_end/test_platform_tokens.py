"""Tokens of the platform's own issuer at the running service: S1 to S4 without an exchange (contract section 6)."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.feeds import PARTY_PATH, assert_problem, event_ids
from tests.support.platform_issuer import DISCOVERY, PlatformIssuer, platform_issuer
from tests.support.publishing import APP_PATH, party_event
from tests.support.service import (
    ACCOUNTANT,
    BAKERY,
    BAKERYS_PARTY,
    BANK,
    KARIS_PARTY,
    OLAS_PARTY,
    SYSTEM_USER,
    TTD,
    RunningService,
    bearer,
    running_service,
)


@pytest.fixture(scope="module")
def trusting_service(issuer: PlatformIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A development service that accepts its tokens too."""
    folder = tmp_path_factory.mktemp("trusting")
    with running_service(folder, EVENTFEED_PLATFORM_ISSUER=issuer.url, EVENTFEED_LOG_LEVEL="debug") as running:
        yield running


def publish(service: RunningService, issuer: PlatformIssuer, app: str, *parties: str) -> dict[str, str]:
    """Publish an event of each party with a token of the platform, and return the ids by party."""
    events = {party: party_event(app, party) for party in parties}
    headers = bearer(issuer.organisation_token(TTD, "altinn:events.publish"))
    service.client.post(APP_PATH, json=list(events.values()), headers=headers).raise_for_status()
    return {party: str(event["id"]) for party, event in events.items()}


def read_party(service: RunningService, token: str, app: str, **body: object) -> list[str]:
    """Return the ids of this app's events about a party."""
    fields = {"after": "0", "source": f"https://ttd.apps.example.no/ttd/{app}/", **body}
    return event_ids(service.client.post(PARTY_PATH, json=fields, headers=bearer(token)))


def test_every_scenario_works_with_tokens_of_the_platform(
    trusting_service: RunningService, issuer: PlatformIssuer, app: str
) -> None:
    """An app, its organisation, a person, an accountant, a system user and a bank each see what is theirs."""
    service, vendor = trusting_service, "51000022"
    ids = publish(service, issuer, app, KARIS_PARTY, OLAS_PARTY, BAKERYS_PARTY, vendor)
    path = f"/events/api/v1/app/ttd/{app}?after=0"
    org = bearer(issuer.organisation_token(TTD, f"altinn:events/ttd/{app}"))
    kari, accountant = (
        issuer.person_token("20000001", KARIS_PARTY),
        issuer.organisation_token(ACCOUNTANT, "altinn:events"),
    )
    system_user = issuer.system_user_token(SYSTEM_USER, BAKERY, vendor=ACCOUNTANT, scope="altinn:events")
    bank = bearer(issuer.organisation_token(BANK, "altinn:events/reportees"))
    reportees = service.client.get("/events/api/v1/reportees?after=0&eventType=estate.created", headers=bank)

    assert list(ids.values()) == event_ids(service.client.get(path, headers=org))
    assert [ids[KARIS_PARTY]] == read_party(service, kari, app)
    assert [ids[BAKERYS_PARTY]] == read_party(service, kari, app, party=BAKERYS_PARTY)
    assert [] == read_party(service, kari, app, party=OLAS_PARTY)
    assert [ids[vendor]] == read_party(service, accountant, app)
    assert [ids[BAKERYS_PARTY]] == read_party(service, accountant, app, unit=BAKERY)
    assert [ids[BAKERYS_PARTY]] == read_party(service, system_user, app)
    assert [] == read_party(service, system_user, app, party=vendor)
    assert 200 == reportees.status_code


def test_tokens_of_the_exchange_are_accepted_beside_them(
    trusting_service: RunningService, issuer: PlatformIssuer, app: str
) -> None:
    """Both identify the same caller: a page has the same entity tag."""
    publish(trusting_service, issuer, app, BAKERYS_PARTY)
    tokens = [
        issuer.organisation_token(BAKERY, "altinn:events"),
        trusting_service.token("altinn:events", organisation=BAKERY),
        issuer.system_user_token(SYSTEM_USER, BAKERY, vendor=ACCOUNTANT, scope="altinn:events"),
        trusting_service.system_user_token("altinn:events"),
    ]
    body = {"after": "0", "source": f"https://ttd.apps.example.no/ttd/{app}/"}
    tags = [
        trusting_service.client.post(PARTY_PATH, json=body, headers=bearer(each)).headers["etag"] for each in tokens
    ]

    assert tags[0] == tags[1] != tags[2] == tags[3]


def test_invalid_tokens_of_the_platform_are_rejected_with_401(
    trusting_service: RunningService, issuer: PlatformIssuer
) -> None:
    """Neither an id token, nor one of another issuer, nor a forged one gives anything. Nor is one exchanged."""
    token = issuer.organisation_token(TTD, "altinn:events/ttd")
    tokens = [
        issuer.organisation_token(TTD, "altinn:events/ttd", iss="https://evil.example.com/"),
        issuer.organisation_token(TTD, "altinn:events/ttd", exp=1_600_000_000),
        issuer.organisation_token(TTD, "altinn:events/ttd", nonce="n"),
        issuer.organisation_token(TTD, "altinn:events/ttd", **{"urn:altinn:authlevel": None}),
        issuer.person_token("20000001", KARIS_PARTY, authorization_details=[{"type": "another"}]),
        f"{token[:-8]}AAAAAAAA",
    ]

    for each in tokens:
        response = trusting_service.client.get("/events/api/v1/head", headers=bearer(each))
        assert_problem(response, 401, "unauthenticated")
    assert_problem(trusting_service.exchange(token), 401, "unauthenticated")


def test_keys_of_the_platform_are_fetched_once_for_many_callers(tmp_path: Path) -> None:
    """All of them wait for the same fetch."""
    with platform_issuer() as issuer, running_service(tmp_path, EVENTFEED_PLATFORM_ISSUER=issuer.url) as service:
        headers = [bearer(issuer.organisation_token(TTD, "x", jti=str(number))) for number in range(16)]
        with ThreadPoolExecutor(8) as pool:
            url = f"{service.url}/events/api/v1/head"
            responses = list(pool.map(lambda each: httpx.get(url, headers=each, timeout=60), headers))

    assert {200} == {response.status_code for response in responses}
    assert [DISCOVERY, f"{DISCOVERY}/jwks"] == issuer.paths


def test_platform_without_a_response_is_unavailable(tmp_path: Path) -> None:
    """The token may be valid, so the caller tries again later. Callers with a token of the exchange go on."""
    with platform_issuer() as issuer:
        token = issuer.organisation_token(TTD, "x")
    with running_service(tmp_path, EVENTFEED_PLATFORM_ISSUER=issuer.url) as service:
        response = service.client.get("/events/api/v1/head", headers=bearer(token))
        other = service.client.get("/events/api/v1/head", headers=bearer(service.token("x")))

    assert_problem(response, 503, "unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert 200 == other.status_code


def test_person_number_of_a_token_is_never_logged(trusting_service: RunningService, issuer: PlatformIssuer) -> None:
    """The platform leaves it in its tokens. This holds at every level of the log, also for a refused token."""
    for changes in ({}, {"nonce": "n"}, {"urn:altinn:userid": "01838012345x"}):
        token = issuer.person_token("20000001", KARIS_PARTY, **changes)
        trusting_service.client.get("/events/api/v1/head", headers=bearer(token))

    assert "01838012345" not in (trusting_service.folder / "output").read_text()


def test_platform_elsewhere_replaces_development_identities(tmp_path: Path) -> None:
    """Its tokens alone are enough: the exchange has no provider, and says so."""
    (tmp_path / "register.json").write_text(json.dumps({"organisations": [], "people": []}))
    settings = {"EVENTFEED_PLATFORM_ISSUER": "https://platform.example.no/", "EVENTFEED_REGISTER": "register.json"}
    with running_service(tmp_path, **settings) as service:
        form = {"org_number": TTD, "scope": "x"}
        development = service.client.post("/development/maskinporten/token", data=form)
        exchange = service.exchange("x")

    assert 404 == development.status_code
    assert "exchanges no tokens" in str(assert_problem(exchange, 400, "invalid-request")["errors"])
