"""System users at the running service: their customer's events, never their vendor's (contract sections 5 and 6)."""

from collections.abc import Mapping

import httpx
import pytest

from eventfeed.domain.principal import SCOPE_ADMIN, SCOPE_REPORTEES, SCOPE_SUBSCRIBE
from tests.support.feeds import APPROVALS_PATH, PARTY_PATH, assert_problem, event_ids
from tests.support.publishing import APP_PATH, EVENTS_PATH, cloud_event, party_event, post_events
from tests.support.service import BAKERY, BAKERYS_PARTY, BANK, KARIS_PARTY, TTD, RunningService, bearer

VENDORS_PARTY, BANKS_PARTY = "51000022", "51000033"
PARTIES = (BAKERYS_PARTY, VENDORS_PARTY, BANKS_PARTY, KARIS_PARTY)
# Every scope that the vendor could have.
ALL_SCOPES = f"{SCOPE_SUBSCRIBE} {SCOPE_ADMIN} {SCOPE_REPORTEES} altinn:events/ttd altinn:events.publish.admin"


@pytest.fixture
def party_events(service: RunningService, app: str) -> Mapping[str, list[str]]:
    """Two events of each party in turn, in one app: the event ids by party."""
    events = [party_event(app, party) for _ in range(2) for party in PARTIES]
    post_events(service, APP_PATH, events).raise_for_status()
    return {party: [str(event["id"]) for event in events if f"/{party}/" in str(event["source"])] for party in PARTIES}


def read_party(service: RunningService, token: str, app: str, **body: object) -> httpx.Response:
    """Request the events of this app about a party."""
    fields = {"after": "0", "size": 1000, "source": f"https://ttd.apps.example.no/ttd/{app}/", **body}
    return service.client.post(f"{PARTY_PATH}/", json=fields, headers=bearer(token))


def test_system_user_reads_the_events_of_its_customer_alone(
    service: RunningService, app: str, party_events: Mapping[str, list[str]]
) -> None:
    """Those of its vendor, of the vendor's other customers and of people are hidden, also by organisation number."""
    token = service.system_user_token("altinn:events")
    pages = {party: event_ids(read_party(service, token, app, party=party)) for party in PARTIES}

    assert {party: party_events[party] if party == BAKERYS_PARTY else [] for party in PARTIES} == pages
    assert party_events[BAKERYS_PARTY] == event_ids(read_party(service, token, app, unit=BAKERY))
    assert [] == event_ids(read_party(service, token, app, unit="310000022"))


def test_party_of_a_system_user_is_that_of_its_customer(
    service: RunningService, app: str, party_events: Mapping[str, list[str]]
) -> None:
    """A request without a party means the caller's own."""
    token = service.system_user_token("altinn:events")
    query = {"after": "0", "size": "1000", "source": f"https://ttd.apps.example.no/ttd/{app}/"}

    assert party_events[BAKERYS_PARTY] == event_ids(read_party(service, token, app))
    assert party_events[BAKERYS_PARTY] == event_ids(
        service.client.get("/events/api/v1/app/party", params=query, headers=bearer(token))
    )


@pytest.mark.parametrize(
    ("owner", "own"), [(BAKERY, BAKERYS_PARTY), (BANK, BANKS_PARTY), ("310000022", VENDORS_PARTY), ("999999999", None)]
)
def test_system_user_outside_the_register_reads_its_own_party(
    service: RunningService, app: str, party_events: Mapping[str, list[str]], owner: str, own: str | None
) -> None:
    """In development any uuid is a system user of the organisation that its token names."""
    token = service.system_user_token("altinn:events", uuid="7b2e0a4c-5d3f-4c66-9a51-9a0000000012", owner=owner)
    pages = {party: event_ids(read_party(service, token, app, party=party)) for party in PARTIES}

    assert {party: party_events[party] if party == own else [] for party in PARTIES} == pages
    assert party_events.get(own or "", []) == event_ids(read_party(service, token, app))


def test_page_of_a_system_user_is_not_that_of_its_customer_or_vendor(
    service: RunningService, app: str, party_events: Mapping[str, list[str]]
) -> None:
    """An entity tag is of one caller."""
    token = service.system_user_token("altinn:events")
    other = service.system_user_token("altinn:events", uuid="7b2e0a4c-5d3f-4c66-9a51-9a0000000012")
    organisations = [service.token("altinn:events", organisation=number) for number in (BAKERY, "310000022")]
    tags = [
        read_party(service, each, app, party=BAKERYS_PARTY).headers["etag"] for each in (token, other, *organisations)
    ]

    assert 2 == len(party_events[BAKERYS_PARTY])
    assert 4 == len(set(tags))


def test_system_user_reads_a_resource_with_the_scope_of_its_vendor(
    service: RunningService, app: str, party_events: Mapping[str, list[str]]
) -> None:
    """The decision point decides on each event, about the system user."""
    path = f"/events/api/v1/events?after=0&size=1000&resource=urn:altinn:resource:app_ttd_{app}"
    page = service.client.get(path, headers=bearer(service.system_user_token(SCOPE_SUBSCRIBE)))
    refusal = service.client.get(path, headers=bearer(service.system_user_token("altinn:events")))

    assert party_events[BAKERYS_PARTY] == event_ids(page)
    assert SCOPE_SUBSCRIBE == assert_problem(refusal, 403, "insufficient-scope")["scope"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/events/api/v1/app/ttd/bolig?after=0"),
        ("GET", "/events/api/v1/http-feeds/ttd/bolig"),
        ("GET", "/events/api/v1/reportees?after=0&eventType=estate.created"),
        ("GET", f"{APPROVALS_PATH}/{BANK}"),
        ("PUT", f"{APPROVALS_PATH}/{BANK}"),
        ("DELETE", f"{APPROVALS_PATH}/{BANK}"),
        ("POST", APP_PATH),
        ("POST", EVENTS_PATH),
    ],
)
@pytest.mark.parametrize("owner", [BAKERY, TTD, BANK])
def test_other_routes_refuse_a_system_user_with_every_scope(
    service: RunningService, method: str, path: str, owner: str
) -> None:
    """The scopes were given to its vendor. This also holds for a system user of `ttd`, and of an approved bank."""
    token = service.system_user_token(ALL_SCOPES, owner=owner)
    body = cloud_event("bolig") if method == "POST" else None
    response = service.client.request(method, path, json=body, headers=bearer(token))

    assert "vendor" in str(assert_problem(response, 403, "insufficient-scope")["detail"])


def test_system_user_reads_the_head(service: RunningService) -> None:
    """Any caller with a token may."""
    response = service.client.get("/events/api/v1/head", headers=bearer(service.system_user_token("")))

    assert 200 == response.status_code
