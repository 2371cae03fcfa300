"""The feeds of parties and resources, with a decision for each event (contract S2 and S3)."""

import json
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.support.feeds import PARTY_PATH, assert_problem, event_ids
from tests.support.publishing import APP_PATH, EVENTS_PATH, PUBLISH_SCOPE, party_event, post_events
from tests.support.service import (
    ACCOUNTANT,
    BAKERY,
    BAKERYS_PARTY,
    KARI,
    KARIS_PARTY,
    OLA,
    OLAS_PARTY,
    OTHER_BANK,
    SKD,
    TTD,
    RunningService,
    bearer,
    free_port,
    running_service,
)

PARTIES = (KARIS_PARTY, OLAS_PARTY, BAKERYS_PARTY, "51000022")
RESOURCE = "urn:altinn:resource:app_ttd_{}"


@pytest.fixture
def party_events(service: RunningService, app: str) -> Mapping[str, list[str]]:
    """Three events of each party in turn, in one app: the event ids by party."""
    events = [party_event(app, party) for _ in range(3) for party in PARTIES]
    post_events(service, APP_PATH, events).raise_for_status()
    return {party: [str(event["id"]) for event in events if f"/{party}/" in str(event["source"])] for party in PARTIES}


def token_of(service: RunningService, number: str, *, level: str = "high") -> str:
    """A token of a person or an organisation, by the length of the number."""
    return (
        service.person_token(number, level=level)
        if len(number) == 11
        else service.token("altinn:events", organisation=number)
    )


def read_party(service: RunningService, number: str, app: str, **body: object) -> httpx.Response:
    """Request the party's new events of this app. `level` is the level of authentication."""
    level = str(body.pop("level", "high"))
    all_fields = {"after": "0", "size": 1000, "source": f"https://ttd.apps.example.no/ttd/{app}/", **body}
    return service.client.post(
        f"{PARTY_PATH}/", json=all_fields, headers=bearer(token_of(service, number, level=level))
    )


@pytest.mark.parametrize(
    ("number", "readable"),
    [
        (KARI, {KARIS_PARTY, BAKERYS_PARTY}),
        (OLA, {OLAS_PARTY}),
        (BAKERY, {BAKERYS_PARTY}),
        (ACCOUNTANT, {BAKERYS_PARTY, "51000022"}),
        (OTHER_BANK, set()),
        (TTD, set()),
        ("310009999", set()),
    ],
)
def test_caller_reads_events_of_the_parties_it_may_read(
    service: RunningService, app: str, party_events: Mapping[str, list[str]], number: str, readable: set[str]
) -> None:
    """A caller may read for its own party and those it acts for. The cursor passes hidden events."""
    pages = {party: read_party(service, number, app, party=party) for party in PARTIES}
    head = service.client.get("/events/api/v1/head", headers=bearer(token_of(service, number))).json()["cursor"]

    assert {party: party_events[party] if party in readable else [] for party in PARTIES} == {
        party: event_ids(page) for party, page in pages.items()
    }
    assert {(head.partition(".")[0], "false")} == {
        (page.headers["feed-cursor"].partition(".")[0], page.headers["feed-more"]) for page in pages.values()
    }


@pytest.mark.parametrize(
    ("names", "party"),
    [
        ({"unit": BAKERY}, BAKERYS_PARTY),
        ({"person": KARI}, KARIS_PARTY),
        ({"party": KARIS_PARTY, "person": KARI}, KARIS_PARTY),
        ({"party": int(KARIS_PARTY)}, KARIS_PARTY),
        ({}, KARIS_PARTY),
        ({"party": None, "unit": None}, KARIS_PARTY),
        ({"unit": "999999999"}, None),
        ({"person": "01018012345"}, None),
        ({"person": OLA}, None),
        ({"party": KARIS_PARTY, "unit": BAKERY}, None),
    ],
    ids=str,
)
def test_party_can_be_named_by_party_unit_or_person(
    service: RunningService,
    app: str,
    party_events: Mapping[str, list[str]],
    names: dict[str, object],
    party: str | None,
) -> None:
    """Without a name, a person reads its own party. An unknown person gives the same page as one without rights."""
    assert (party_events[party] if party else []) == event_ids(read_party(service, KARI, app, **names))


def test_get_returns_the_same_page_as_post(
    service: RunningService, app: str, party_events: Mapping[str, list[str]]
) -> None:
    """The person number is in a header, and not in the next link."""
    headers = {**bearer(service.person_token(KARI)), "person": KARI}
    query = {"from": "2020-01-01T00:00:00Z", "source": f"https://ttd.apps.example.no/ttd/{app}/", "size": "2"}
    first = service.client.get("/events/api/v1/app/party", params=query, headers=headers)
    second = service.client.get(first.headers["next"], headers=headers)

    assert party_events[KARIS_PARTY] == [*event_ids(first), *event_ids(second)]
    assert KARI not in first.headers["next"]


@pytest.mark.parametrize("size", [1, 2, 50])
def test_next_link_of_a_post_overrides_the_body(
    service: RunningService, app: str, party_events: Mapping[str, list[str]], size: int
) -> None:
    """The link has `after` and `size`, which take precedence over the body."""
    headers = bearer(service.person_token(KARI))
    body = {"after": "0", "size": size, "source": f"https://ttd.apps.example.no/ttd/{app}/", "party": BAKERYS_PARTY}
    page = service.client.post(PARTY_PATH, json=body, headers=headers)
    ids = event_ids(page)
    while page.headers["feed-more"] == "true":
        assert {"after", "size"} == httpx.URL(page.headers["next"]).params.keys()
        page = service.client.post(page.headers["next"], json=body, headers=headers)
        ids += event_ids(page)

    assert party_events[BAKERYS_PARTY] == ids


@pytest.mark.parametrize("level", ["low", "substantial", "high"])
def test_person_reads_with_level_three_or_higher(
    service: RunningService, app: str, party_events: Mapping[str, list[str]], level: str
) -> None:
    """ID-porten's `low` is level 0 and not enough; `substantial` is enough."""
    assert ([] if level == "low" else party_events[KARIS_PARTY]) == event_ids(
        read_party(service, KARI, app, level=level)
    )


def test_types_filter_a_party_feed(service: RunningService, app: str, party_events: Mapping[str, list[str]]) -> None:
    """`eventType` and `type` accept one or several types."""
    event = party_event(app, KARIS_PARTY, type="instance.process.completed")
    post_events(service, APP_PATH, event).raise_for_status()

    assert [event["id"]] == event_ids(read_party(service, KARI, app, eventType="instance.process.completed"))
    assert [event["id"]] == event_ids(read_party(service, KARI, app, type=["instance.process.completed"]))
    assert [*party_events[KARIS_PARTY], event["id"]] == event_ids(
        read_party(service, KARI, app, eventType=["instance.process.completed", "instance.created"])
    )


def test_unchanged_party_page_gets_304(
    service: RunningService, app: str, party_events: Mapping[str, list[str]]
) -> None:
    """Another caller or another body gets a page of its own."""
    first = read_party(service, KARI, app, party=BAKERYS_PARTY)
    condition = {"If-None-Match": first.headers["etag"]}
    body = {"after": "0", "size": 1000, "source": f"https://ttd.apps.example.no/ttd/{app}/", "party": BAKERYS_PARTY}
    kari, ola = bearer(service.person_token(KARI)), bearer(service.person_token(OLA))
    unchanged_page = service.client.post(f"{PARTY_PATH}/", json=body, headers={**kari, **condition})
    filtered_page = service.client.post(f"{PARTY_PATH}/", json={**body, "type": "x"}, headers={**kari, **condition})
    olas_page = service.client.post(f"{PARTY_PATH}/", json=body, headers={**ola, **condition})

    assert len(party_events[BAKERYS_PARTY]) == len(first.json())
    assert (304, 200, 200) == (unchanged_page.status_code, filtered_page.status_code, olas_page.status_code)


def test_etag_does_not_reveal_which_parties_exist(service: RunningService) -> None:
    """Without rights, the ETag depends on the request alone."""
    token = bearer(service.token("", organisation=OTHER_BANK))

    def tag(**body: str) -> str:
        response = service.client.post(PARTY_PATH, json={"after": "0", "size": "1", **body}, headers=token)
        assert [] == response.raise_for_status().json()
        return str(response.headers["etag"])

    persons, unit, party = [KARI, "99999999999", "99999999998"], {"unit": BAKERY}, {"party": KARIS_PARTY}
    tags = [*(tag(person=number) for number in persons), tag(**unit), tag(**party)]

    assert tags == [*(tag(person=number) for number in persons), tag(**unit), tag(**party)]
    assert 5 == len(set(tags))


def test_event_id_is_a_cursor_for_its_readers_only(
    service: RunningService, app: str, party_events: Mapping[str, list[str]]
) -> None:
    """For a reader without rights, it is as invalid as an unknown id."""
    first, *rest = party_events[KARIS_PARTY]
    olas_response = read_party(service, OLA, app, after=first, party=KARIS_PARTY)

    assert rest == event_ids(read_party(service, KARI, app, after=first))
    assert_problem(olas_response, 400, "invalid-cursor")


@pytest.mark.parametrize(
    ("query", "body", "pointers"),
    [
        ("", {}, [None]),
        ("", {"after": "0", "nothing": 1, "size": 0}, ["/nothing", "/size"]),
        ("", {"after": "0", "eventType": [1.5], "type": True}, ["/eventType", "/type"]),
        ("", {"after": "0", "person": int(KARI)}, ["/person"]),
        ("", {"after": ["0"]}, ["/after"]),
        ("?party=50000001", {"after": "0"}, [None]),
        ("?from=2020-01-01T00:00:00Z", {"after": "0"}, [None]),
        ("?size=x", {"after": "0", "size": 5}, [None]),
        ("", [], [""]),
        ("", "x", [""]),
    ],
    ids=str,
)
def test_every_error_in_a_body_has_a_pointer(
    service: RunningService, query: str, body: object, pointers: list[str | None]
) -> None:
    """Errors of body and query are reported together."""
    response = service.client.post(PARTY_PATH + query, json=body, headers=bearer(service.person_token(KARI)))
    errors = assert_problem(response, 400, "invalid-request")["errors"]
    assert isinstance(errors, list)

    assert sorted(pointers, key=str) == sorted((error.get("pointer") for error in errors), key=str) or (
        "" in pointers and "" in [error.get("pointer") for error in errors]
    )


@pytest.mark.parametrize("path", [PARTY_PATH, f"{PARTY_PATH}/", f"{PARTY_PATH}?size=1000"])
def test_post_without_a_body_reads_the_own_party_from_the_beginning(
    service: RunningService, party_events: Mapping[str, list[str]], path: str
) -> None:
    """As existing clients send it. An empty object needs a start."""
    token, ids = bearer(service.person_token(KARI)), list[str]()
    response = service.client.post(path, headers=token)
    while events := event_ids(response):
        ids += events
        response = service.client.post(response.headers["next"], headers=token)

    assert party_events[KARIS_PARTY] == [id_ for id_ in ids if id_ in party_events[KARIS_PARTY]]
    assert_problem(service.client.post(path, json={}, headers=token), 400, "invalid-request")


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain"])
def test_body_that_is_no_json_is_rejected_with_415(service: RunningService, media_type: str) -> None:
    """The type of a request without a body is not checked."""
    headers = {**bearer(service.person_token(KARI)), "Content-Type": media_type}

    assert_problem(service.client.post(PARTY_PATH, content=b"after=0", headers=headers), 415, "unsupported-media-type")
    assert 200 == service.client.post(f"{PARTY_PATH}?after=0", headers=headers).status_code


def test_request_without_token_is_rejected_with_401(service: RunningService) -> None:
    """This holds for every feed and method."""
    assert_problem(service.client.post(f"{PARTY_PATH}/", json={"after": "0"}), 401, "unauthenticated")
    assert_problem(service.client.get("/events/api/v1/app/party?after=0"), 401, "unauthenticated")
    assert_problem(service.client.get("/events/api/v1/events?after=0&resource=x"), 401, "unauthenticated")


def read_resource(service: RunningService, number: str, resource: str, **query: str) -> httpx.Response:
    """Request the events of a resource."""
    token = service.token("altinn:events.subscribe", organisation=number)
    params = {"after": "0", "size": "1000", "resource": resource, **query}
    return service.client.get("/events/api/v1/events", params=params, headers=bearer(token))


@pytest.mark.parametrize(
    ("number", "parties"), [(ACCOUNTANT, [BAKERYS_PARTY, "51000022"]), (BAKERY, [BAKERYS_PARTY]), (SKD, [])]
)
def test_resource_feed_has_the_events_its_reader_may_see(
    service: RunningService, app: str, party_events: Mapping[str, list[str]], number: str, parties: list[str]
) -> None:
    """Events of every party are in one sequence, with a decision for each."""
    visible = {each for party in parties for each in party_events[party]}

    assert visible == set(event_ids(read_resource(service, number, RESOURCE.format(app))))
    assert [] == event_ids(read_resource(service, number, RESOURCE.format(app), party=KARIS_PARTY))


def test_resource_of_no_app_has_a_feed(service: RunningService, app: str) -> None:
    """In development every organisation reads events without a party, if no organisation owns the resource."""
    resource, source = f"urn:altinn:resource:{app}", f"https://ttd.example.no/ttd/{app}"
    base = {"specversion": "1.0", "type": "t", "source": source, "resource": resource}
    events = [{**base, "id": "1", "subject": f"/party/{BAKERYS_PARTY}"}, {**base, "id": "2"}]
    content = json.dumps(events).encode()
    post_events(service, EVENTS_PATH, content, media_type="application/cloudevents-batch+json").raise_for_status()

    assert ["1", "2"] == event_ids(read_resource(service, BAKERY, resource))
    assert ["2"] == event_ids(read_resource(service, OTHER_BANK, resource))
    assert [] == event_ids(read_resource(service, BAKERY, f"{resource}x"))


def test_resource_feed_requires_scope_and_resource(service: RunningService) -> None:
    """Only the full scope from Maskinporten is enough."""
    resource = RESOURCE.format("a")
    path = f"/events/api/v1/events?after=0&resource={resource}"
    for token in (service.token(PUBLISH_SCOPE), service.token("altinn:events.subscriber"), service.person_token(KARI)):
        problem = assert_problem(service.client.get(path, headers=bearer(token)), 403, "insufficient-scope")
        assert "altinn:events.subscribe" == problem["scope"]
    subscriber = bearer(service.token("altinn:events.subscribe"))
    assert_problem(service.client.get("/events/api/v1/events?after=0", headers=subscriber), 400, "invalid-request")


def test_feed_without_decisions_is_unavailable_not_empty(tmp_path: Path) -> None:
    """Without a decision point, such feeds get 503 and `Retry-After`; other feeds continue."""
    register = tmp_path / "register.json"
    register.write_text('{"organisations": [], "people": []}')
    platform = f"http://127.0.0.1:{free_port()}"
    with running_service(tmp_path, "--sample") as service:
        token, reader = service.person_token(KARI), service.token("altinn:events/ttd/bolig")
        port = service.url.rpartition(":")[2]
    settings = {"EVENTFEED_PLATFORM_URL": platform, "EVENTFEED_PLATFORM_ORGS_URL": f"{platform}/orgs"}
    with running_service(tmp_path, EVENTFEED_PORT=port, **settings) as service:
        own_page = service.client.post(PARTY_PATH, json={"after": "0"}, headers=bearer(token))
        unit_page = service.client.post(PARTY_PATH, json={"after": "0", "unit": BAKERY}, headers=bearer(token))
        app = service.client.get("/events/api/v1/app/ttd/bolig?after=0", headers=bearer(reader))

    assert_problem(own_page, 503, "unavailable")
    assert_problem(unit_page, 503, "unavailable")
    assert own_page.headers["retry-after"].isdecimal()
    assert 200 == app.status_code
