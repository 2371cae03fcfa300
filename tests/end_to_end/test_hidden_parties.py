"""Parties to which a caller has no relation: the answers and the steps are those for parties that do not exist."""

import itertools
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import httpx
import pytest

from eventfeed.access.cedar import CedarDecisionPoint
from eventfeed.access.decisions import Decisions
from eventfeed.access.local import LocalRegister
from eventfeed.app.application import create_application
from eventfeed.log.memory.recent_entries import RecentEntries
from eventfeed.log.reader import Reader
from eventfeed.settings import load
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.call_trace import lifespan
from tests.support.publishing import APP_PATH, PUBLISH_SCOPE, party_event
from tests.support.service import (
    ACCOUNTANT,
    BAKERY,
    BAKERYS_PARTY,
    KARI,
    KARIS_PARTY,
    OLA,
    OTHER_BANK,
    SKD,
    TTD,
    bearer,
    free_port,
    running_service,
)

RESOURCES, EVENTS = 2_000, 3_000
UNKNOWN_PERSON, UNKNOWN_UNIT, UNKNOWN_PARTY = "01838099999", "399999999", "59999999"
PARTY, RESOURCE_FEED, REPORTEES = "/events/api/v1/party", "/events/api/v1/events", "/events/api/v1/reportees"
# Steps of a request, and the functions that take them.
STEPS: Sequence[tuple[type, str]] = [
    (RecentEntries, "scan"),
    (Reader, "_scan_store"),
    (LocalRegister, "organisation"),
    (LocalRegister, "person"),
    (Decisions, "allowed"),
    (CedarDecisionPoint, "allowed"),
    (LocalRegister, "subunits"),
    (CedarDecisionPoint, "with_relation"),
]
# They describe the request, or the moment.
OWN_HEADERS = frozenset({"etag", "link", "next", "date"})


class Service(NamedTuple):
    """An application in this process, the tokens of its callers, and the steps that it takes."""

    client: httpx.AsyncClient
    tokens: Mapping[str, str]
    steps: Counter[str]

    async def ask(self, caller: str, method: str, path: str, **request: Any) -> tuple[object, ...]:
        """Return what a caller can see of an answer, and the steps to it."""
        self.steps.clear()
        headers = {**(bearer(self.tokens[caller]) if caller else {}), **request.pop("headers", {})}
        response = await self.client.request(method, path, headers=headers, **request)
        seen = {name: value for name, value in response.headers.items() if name not in OWN_HEADERS}
        body = response.json()
        if isinstance(body, dict):
            body.pop("traceId", None)
        return response.status_code, body, seen, dict(self.steps)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The event loop, for all tests of this module."""
    return "asyncio"


@pytest.fixture(scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A log with 3,000 events of 2,000 resources at Kari's party and at the bakery's."""
    folder, port, steps = tmp_path_factory.mktemp("hidden"), free_port(), Counter[str]()
    settings = load(
        {
            "EVENTFEED_STORE": f"sqlite:///{folder}/.eventfeed/log.db",
            "EVENTFEED_PORT": str(port),
            "EVENTFEED_ADDRESS_REQUESTS": "1000000",
            "EVENTFEED_INSTANCE_REQUESTS": "1000000",
        }
    )
    with running_service(folder, EVENTFEED_PORT=str(port)) as issuer, pytest.MonkeyPatch.context() as patch:
        scopes = "altinn:events.subscribe altinn:events/reportees"
        organisations = {each: issuer.token(scopes, organisation=each) for each in (ACCOUNTANT, OTHER_BANK, TTD, SKD)}
        tokens = {OLA: issuer.person_token(OLA), **organisations, "publisher": issuer.token(PUBLISH_SCOPE)}
        for owner, name in STEPS:
            patch.setattr(owner, name, _counted(getattr(owner, name), f"{owner.__name__}.{name}", steps))
        application: Any = create_application(settings, Telemetry())
        transport = httpx.ASGITransport(application)
        async with lifespan(application), httpx.AsyncClient(transport=transport, base_url=issuer.url) as client:
            for party in (KARIS_PARTY, BAKERYS_PARTY):
                for start in range(0, EVENTS, 100):
                    events = [party_event(f"r{number % RESOURCES}", party) for number in range(start, start + 100)]
                    response = await client.post(APP_PATH, json=events, headers=bearer(tokens["publisher"]))
                    response.raise_for_status()
            yield Service(client, tokens, steps)


def _counted(function: Callable[..., Any], name: str, steps: Counter[str]) -> Callable[..., Any]:
    def count(*arguments: Any, **more: Any) -> Any:
        steps[name] += 1
        return function(*arguments, **more)

    return count


async def test_party_without_a_relation_is_answered_like_an_unknown_one(service: Service) -> None:
    """The same answer in the same steps, for every caller, way to name the party, and parameter."""
    rng, count = random.Random(7), 0
    names = [("person", KARI, UNKNOWN_PERSON), ("party", KARIS_PARTY, UNKNOWN_PARTY), ("unit", BAKERY, UNKNOWN_UNIT)]
    for caller, (name, hidden, unknown) in itertools.product((OLA, ACCOUNTANT, OTHER_BANK, TTD, SKD), names):
        if (caller, name) == (ACCOUNTANT, "unit"):  # the accountant acts for the bakery
            continue
        for _ in range(72):
            body = {"after": "0", "size": rng.choice([1, 7, 50, 1_000])}
            if rng.random() < 0.5:
                body["type"] = rng.choice(["instance.created", "other"])
            if name != "person" and rng.random() < 0.5:
                body["includeSubunits"] = True
            answers = [
                await service.ask(caller, "POST", PARTY, json={**body, name: each}) for each in (hidden, unknown)
            ]
            count += len(answers)

            assert answers[1] == answers[0]
            assert (200, []) == answers[0][:2]
    assert count >= 2_000


async def test_relation_shows_the_events_of_a_party(service: Service) -> None:
    """The check hides nothing from those who may read: the accountant reads the bakery's events."""
    _, body, headers, steps = await service.ask(ACCOUNTANT, "POST", PARTY, json={"after": "0", "unit": BAKERY})

    assert isinstance(body, list)
    assert 50 == len(body)
    assert isinstance(headers, dict)
    assert "true" == headers["feed-more"]
    assert isinstance(steps, dict)
    assert 1 == steps["CedarDecisionPoint.with_relation"]


@pytest.mark.parametrize(
    ("caller", "method", "path", "hidden", "unknown"),
    [
        (
            OTHER_BANK,
            "GET",
            f"{RESOURCE_FEED}?resource=urn:altinn:resource:app_ttd_r1&after=0",
            {"headers": {"person": KARI}},
            {"headers": {"person": UNKNOWN_PERSON}},
        ),
        (
            OTHER_BANK,
            "GET",
            f"{REPORTEES}?eventType=instance.created&after=0",
            {"headers": {"person": KARI}},
            {"headers": {"person": UNKNOWN_PERSON}},
        ),
        (SKD, "GET", "/events/api/v1/approvals/310000033", {}, {"path": "/events/api/v1/approvals/399999999"}),
    ],
    ids=["resource feed", "reportees", "approvals"],
)
async def test_other_routes_answer_alike_too(
    service: Service, caller: str, method: str, path: str, hidden: dict[str, Any], unknown: dict[str, Any]
) -> None:
    """A filter by person, an approval of another organisation."""
    first = await service.ask(caller, method, hidden.pop("path", path), **hidden)
    second = await service.ask(caller, method, unknown.pop("path", path), **unknown)

    assert second == first


async def test_instance_of_another_party_is_answered_like_an_unknown_one(service: Service) -> None:
    """Anyone may ask: neither the answer nor its steps tell that the instance exists."""
    instance = str(uuid.uuid4())
    source = f"https://ttd.apps.example.no/ttd/r1/instances/{KARIS_PARTY}/{instance}"
    event = party_event("r1", KARIS_PARTY, source=source)
    published = await service.client.post(APP_PATH, json=event, headers=bearer(service.tokens["publisher"]))
    published.raise_for_status()
    paths = [f"/events/instanceeventsforinstance/{UNKNOWN_PARTY}/{guid}" for guid in (instance, str(uuid.uuid4()))]
    answers = [await service.ask("", "POST", path, json={}) for path in paths]

    assert answers[1] == answers[0]
    assert [] == answers[0][1]
