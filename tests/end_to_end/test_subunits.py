"""Sub-units of a unit in the feeds of parties and resources (contract section 5, `includeSubunits`)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import msgspec
import pytest

from eventfeed.domain.feed import SUBJECTS_MAX
from tests.support.feeds import PARTY_PATH, assert_problem, event_ids
from tests.support.publishing import APP_PATH, EVENTS_PATH, PUBLISH_ADMIN_SCOPE, party_event, post_events
from tests.support.service import BAKERYS_PARTY, RunningService, bearer, running_service

# A unit with two sub-units, one of which has a sub-unit of its own; another organisation; two that act for others.
MAIN, SHOP, OFFICE, DESK, OTHER = "310000011", "310000012", "310000013", "310000014", "310000015"
ACCOUNTANT, CLERK = "310000016", "310000017"
UNITS = (MAIN, SHOP, OFFICE, DESK, OTHER)
PARTIES = {number: str(51000000 + int(number) % 100) for number in (*UNITS, ACCOUNTANT, CLERK)}
ACTS_FOR = {MAIN: [SHOP, OFFICE, DESK], ACCOUNTANT: [MAIN, SHOP, DESK, OTHER], CLERK: [SHOP]}
# Whose events each organisation reads, with the sub-units of the unit.
READABLE = {MAIN: [MAIN, SHOP, OFFICE, DESK], ACCOUNTANT: [MAIN, SHOP, DESK], CLERK: [SHOP], OTHER: []}
APP, RESOURCE = "units", "urn:altinn:resource:app_ttd_units"
# A unit with as many sub-units as a request may read, and one with one more.
LARGE, TOO_LARGE = "310000018", "310000019"
SUBUNITS = [str(320000000 + number) for number in range(SUBJECTS_MAX)]
# One test publishes events of another app.
SOURCE = f"https://ttd.apps.example.no/ttd/{APP}/"


def register() -> bytes:
    """Return a register file."""
    organisations: list[Mapping[str, object]] = [
        {
            "number": number,
            "party": party,
            "name": "U",
            "acts_for": [PARTIES[each] for each in ACTS_FOR.get(number, [])],
        }
        for number, party in PARTIES.items()
    ]
    ttd = {"number": "991825827", "party": "1", "name": "T", "org": "ttd"}
    large = {"number": LARGE, "party": "51000018", "name": "L", "acts_for": SUBUNITS}
    too_large = {"number": TOO_LARGE, "party": "51000019", "name": "L", "acts_for": ["51000018", *SUBUNITS]}
    others = [{"number": number, "party": number, "name": "S"} for number in SUBUNITS]
    pairs = [
        (SHOP, MAIN),
        (OFFICE, MAIN),
        (DESK, OFFICE),
        (LARGE, TOO_LARGE),
        *((each, LARGE) for each in SUBUNITS[1:]),
    ]
    units = [{"organisation": unit, "parent": parent} for unit, parent in pairs]
    organisations += [ttd, large, too_large, *others]
    return msgspec.json.encode({"organisations": organisations, "people": [], "units": units})


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with three events of each unit in turn; the id of an event begins with the unit's number."""
    folder: Path = tmp_path_factory.mktemp("units")
    (folder / "register.json").write_bytes(register())
    with running_service(folder, EVENTFEED_REGISTER=str(folder / "register.json")) as service:
        events = [party_event(APP, PARTIES[number], id=f"{number}-{turn}") for turn in range(3) for number in UNITS]
        post_events(service, APP_PATH, events).raise_for_status()
        yield service


def ids_of(*numbers: str) -> list[str]:
    """The ids of these units' events, in the order of the log."""
    return [f"{number}-{turn}" for turn in range(3) for number in UNITS if number in numbers]


def read(service: RunningService, number: str, **body: object) -> httpx.Response:
    """Request events of parties as this organisation."""
    headers = bearer(service.token("x", organisation=number))
    return service.client.post(PARTY_PATH, json={"after": "0", "size": 1000, "source": SOURCE, **body}, headers=headers)


def read_resource(service: RunningService, number: str, **query: str) -> httpx.Response:
    """Request events of the app's resource as this organisation."""
    params = {"after": "0", "size": "1000", "resource": RESOURCE, **query}
    headers = bearer(service.token("altinn:events.subscribe", organisation=number))
    return service.client.get(EVENTS_PATH, params=params, headers=headers)


@pytest.mark.parametrize("reader", READABLE)
@pytest.mark.parametrize("name", [{"unit": MAIN}, {"party": PARTIES[MAIN]}, {"party": PARTIES[MAIN], "unit": MAIN}])
def test_unit_and_its_subunits_are_in_one_feed(units: RunningService, reader: str, name: Mapping[str, str]) -> None:
    """Each party is decided on for itself: a right for the unit is none for a sub-unit, nor the other way round."""
    visible = ids_of(*READABLE[reader])

    assert visible == event_ids(read(units, reader, includeSubunits=True, **name))
    assert visible == event_ids(read_resource(units, reader, includeSubunits="true", **name))


def test_owner_of_a_resource_sees_a_unit_with_its_subunits(units: RunningService) -> None:
    """It needs no right to a party."""
    assert ids_of(MAIN, SHOP, OFFICE, DESK) == event_ids(
        read_resource(units, "991825827", unit=MAIN, includeSubunits="true")
    )


@pytest.mark.parametrize(
    ("name", "visible"),
    [
        ({"unit": MAIN, "includeSubunits": False}, [MAIN]),
        ({"unit": MAIN}, [MAIN]),
        ({"unit": OFFICE, "includeSubunits": True}, [OFFICE, DESK]),
        ({"unit": SHOP, "includeSubunits": True}, [SHOP]),
        ({"unit": "399999999", "includeSubunits": True}, []),
        ({"party": "59999999", "includeSubunits": True}, []),
        ({"party": PARTIES[MAIN], "unit": SHOP, "includeSubunits": True}, []),
        ({"unit": MAIN, "includeSubunits": True, "subject": f"/organisation/{SHOP}"}, [SHOP]),
    ],
    ids=str,
)
def test_subunits_are_included_only_where_requested(
    units: RunningService, name: Mapping[str, object], visible: list[str]
) -> None:
    """A unit without sub-units is read as such, and an unknown one has no events."""
    assert ids_of(*visible) == event_ids(read(units, MAIN, **name))


@pytest.mark.parametrize("size", [1, 4])
def test_pages_of_a_unit_continue_with_its_subunits(units: RunningService, size: int) -> None:
    """The next link of a GET includes them; that of a POST is sent with the same body."""
    token = bearer(units.token("x", organisation=MAIN))
    query = f"after=0&unit={MAIN}&includeSubunits=true&size={size}&source={SOURCE}"
    page = units.client.get(f"/events/api/v1/app/party?{query}", headers=token)
    ids = event_ids(page)
    while page.headers["feed-more"] == "true":
        page = units.client.get(page.headers["next"], headers=token)
        ids += event_ids(page)

    assert ids_of(MAIN, SHOP, OFFICE, DESK) == ids


def test_app_feed_does_not_include_subunits(units: RunningService) -> None:
    """There the parameter is unknown."""
    headers = bearer(units.token("altinn:events/ttd"))
    path = f"/events/api/v1/app/ttd/{APP}?after=0&unit={MAIN}&includeSubunits=true"
    problem = assert_problem(units.client.get(path, headers=headers), 400, "invalid-request")

    assert [{"parameter": "includeSubunits", "detail": "is no parameter of this feed"}] == problem["errors"]


@pytest.mark.parametrize(
    ("reader", "visible"), [(MAIN, READABLE[MAIN]), (OFFICE, [OFFICE]), ("399999999", [])], ids=str
)
def test_request_without_a_party_includes_the_subunits_of_the_caller(
    units: RunningService, reader: str, visible: Sequence[str]
) -> None:
    """It means the caller's own party, and those of its sub-units that it may read; for an unknown caller none."""
    headers = bearer(units.token("x", organisation=reader))
    query = {"after": "0", "size": "1000", "source": SOURCE, "includeSubunits": "true"}

    assert ids_of(*visible) == event_ids(read(units, reader, includeSubunits=True))
    assert ids_of(*visible) == event_ids(units.client.get("/events/api/v1/app/party", params=query, headers=headers))


def test_subunits_in_the_feed_of_a_resource_need_a_unit_or_a_party(units: RunningService) -> None:
    """The fault names the parameter."""
    problem = assert_problem(read_resource(units, MAIN, includeSubunits="true"), 400, "invalid-request")

    assert [{"parameter": "includeSubunits", "detail": "needs the parameter unit or party"}] == problem["errors"]


def test_unit_with_too_many_subunits_is_refused(units: RunningService) -> None:
    """The limit is on the parties to which the caller has a relation, so it tells others nothing about the unit."""
    detail = f"includes {SUBJECTS_MAX + 1} parties, more than {SUBJECTS_MAX}: read the sub-units on their own"
    refusal = read(units, TOO_LARGE, unit=TOO_LARGE, includeSubunits=True)
    refusal_of_get = read_resource(units, TOO_LARGE, unit=TOO_LARGE, includeSubunits="true")

    assert [] == event_ids(read(units, LARGE, unit=LARGE, includeSubunits=True))
    assert [] == event_ids(read(units, OTHER, unit=TOO_LARGE, includeSubunits=True))
    assert [{"pointer": "/includeSubunits", "detail": detail}] == refusal.json()["errors"]
    assert [{"parameter": "includeSubunits", "detail": detail}] == refusal_of_get.json()["errors"]
    assert (400, 400) == (refusal.status_code, refusal_of_get.status_code)


def test_waiting_reader_sees_an_event_of_a_subunit(units: RunningService) -> None:
    """A wait covers every party of the feed."""
    head = units.client.get("/events/api/v1/head", headers=bearer(units.token("x"))).json()["cursor"]
    source = f"https://ttd.apps.example.no/ttd/later/instances/{PARTIES[DESK]}/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c"
    token = bearer(units.token("x", organisation=MAIN))
    body = {"unit": MAIN, "includeSubunits": True, "after": head, "source": source}
    with units.client.stream("POST", PARTY_PATH, json=body, headers={**token, "Accept": "text/event-stream"}) as stream:
        event = party_event("later", PARTIES[DESK], id="later", source=source)
        post_events(units, APP_PATH, event, scope=PUBLISH_ADMIN_SCOPE).raise_for_status()
        lines = (line for line in stream.iter_lines() if line.startswith("data:"))

        assert "later" == msgspec.json.decode(next(lines).removeprefix("data:"))["id"]


@pytest.mark.parametrize(("options", "count"), [((), 1), (("--include-subunits",), 2)])
def test_command_reads_a_party_with_its_subunits(
    service: RunningService, app: str, options: tuple[str, ...], count: int
) -> None:
    """The development population has a sub-unit of the bakery, about which the bakery may read."""
    events = [party_event(app, party, type=app) for party in (BAKERYS_PARTY, "51000066")]
    post_events(service, APP_PATH, events).raise_for_status()
    output = service.run_command("read", "party", BAKERYS_PARTY, "--type", app, *options)

    assert (0, [event["id"] for event in events[:count]]) == (
        output.returncode,
        [msgspec.json.decode(line)["id"] for line in output.stdout.splitlines()],
    )
