"""Publishing over HTTP: receipts, repeats, and every wrong thing answered rightly."""

import base64
import json
import socket
import time
import uuid
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.service import SKD, Served, bearer

PUBLISH = "altinn:events.publish"
ADMIN = "altinn:events.publish.admin"
APP, EVENTS = "/events/api/v1/app", "/events/api/v1/events"
BATCHED, STRUCTURED = "application/cloudevents-batch+json", "application/cloudevents+json"


def app_event(app: str, **changes: object) -> dict[str, object]:
    """An app event of `ttd` as an app would send it."""
    source = f"https://ttd.apps.example.no/ttd/{app}/instances/50000001/{uuid.uuid4()}"
    base = {"source": source, "specversion": "1.0", "type": "instance.created", "subject": "/party/50000001"}
    return {**base, **changes}


def cloud_event(app: str, **changes: object) -> dict[str, object]:
    """The same with an id."""
    return app_event(app, id=str(uuid.uuid4()), **changes)


def post(
    served: Served,
    path: str,
    body: object,
    *,
    scope: str = PUBLISH,
    media_type: str = "application/json",
    **headers: str,
) -> httpx.Response:
    """Publish as `ttd`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {**bearer(served.token(scope)), "Content-Type": media_type, **headers}
    return served.client.post(path, content=content, headers=sent)


def feed(served: Served, app: str) -> list[dict[str, object]]:
    """Everything in an app's feed."""
    answer = served.client.get(
        f"/events/api/v1/app/ttd/{app}",
        params={"after": "0", "size": "1000"},
        headers=bearer(served.token(f"altinn:events/ttd/{app}")),
    )
    events: list[dict[str, object]] = answer.raise_for_status().json()
    return events


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    """The problem that an answer must be."""
    assert (status, "application/problem+json") == (answer.status_code, answer.headers["content-type"]), answer.text
    problem: dict[str, object] = answer.json()
    assert (status, code) == (problem["status"], problem["code"])
    return problem


def test_an_app_event_gets_a_receipt_and_is_there(served: Served, app: str) -> None:
    """201, a receipt, and a Location that returns the event as published with id, time and sequence."""
    sent = app_event(app, data={"ø": [1.5]}, alternativesubject="/person/01838012345")
    answer = post(served, APP, sent)
    receipt = answer.json()
    read = served.client.get(answer.headers["location"], headers=bearer(served.token(f"altinn:events/ttd/{app}")))
    (event,) = read.json()

    assert 201 == answer.status_code
    assert {"id", "source", "sequence", "time", "duplicate"} == receipt.keys()
    assert {**sent, "id": receipt["id"], "time": event["time"], "sequence": receipt["sequence"]} == event


def test_an_array_gets_receipts_in_its_order(served: Served, app: str) -> None:
    """The receipts stand as the events stood, with consecutive sequences."""
    sent = [cloud_event(app) for _ in range(100)]
    receipts = post(served, APP, sent).raise_for_status().json()
    sequences = [int(receipt["sequence"]) for receipt in receipts]

    assert [event["id"] for event in sent] == [receipt["id"] for receipt in receipts]
    assert sequences == sorted(sequences)
    assert sent == [{name: event[name] for name in sent[0]} for event in feed(served, app)]


@pytest.mark.parametrize("mode", ["structured", "batched", "binary"])
def test_each_mode_publishes_a_cloud_event(served: Served, app: str, mode: str) -> None:
    """Structured, batched and binary bring the same event in."""
    event = cloud_event(app, data={"a": 1}, datacontenttype="application/json")
    match mode:
        case "structured":
            answer = post(served, EVENTS, event, media_type=STRUCTURED)
        case "batched":
            answer = post(served, EVENTS, [event], media_type=BATCHED)
        case _:
            attributes = {f"ce-{name}": str(value) for name, value in event.items() if not name.startswith("data")}
            answer = post(served, EVENTS, event["data"], **attributes)
    receipt = answer.json()[0] if mode == "batched" else answer.json()
    (stored,) = feed(served, app)

    assert 200 == answer.status_code
    assert event["id"] == receipt["id"]
    assert event == {name: stored[name] for name in event}


def test_repeating_a_publish_gives_the_first_receipt(served: Served, app: str) -> None:
    """In any mode, with members in any order: the same event is a duplicate, and is there once."""
    event = cloud_event(app)
    first = post(served, APP, event).json()
    again = post(served, APP, dict(reversed(event.items()))).json()
    structured = post(served, EVENTS, event, media_type=STRUCTURED).json()

    assert {**first, "duplicate": True} == again == structured
    assert 1 == len(feed(served, app))


def test_one_without_an_id_is_a_new_event_each_time(served: Served, app: str) -> None:
    """Only an id makes a repeat recognisable."""
    event = app_event(app)
    receipts = [post(served, APP, event).json() for _ in range(2)]

    assert [False, False] == [receipt["duplicate"] for receipt in receipts]
    assert 2 == len({receipt["id"] for receipt in receipts})


def test_a_changed_event_with_the_same_identity_is_a_conflict(served: Served, app: str) -> None:
    """409 names it, and nothing of the request is written."""
    event = cloud_event(app)
    post(served, APP, event).raise_for_status()
    problem = refused(post(served, APP, [cloud_event(app), {**event, "type": "other"}]), 409, "event-conflict")

    assert ["/1"] == [fault["pointer"] for fault in problem["errors"]]  # type: ignore[attr-defined]  # a list
    assert 1 == len(feed(served, app))


def test_an_admin_publishes_for_any_org(served: Served, app: str) -> None:
    """The admin scope alone is enough, for any source."""
    token = served.token(ADMIN, organisation=SKD)
    answer = served.client.post(APP, json=app_event(app), headers=bearer(token))

    assert 201 == answer.status_code


@pytest.mark.parametrize(
    ("source", "extra"),
    [
        ("https://skd.apps.example.no/skd/a/instances/1/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c", {}),
        ("https://ttd.apps.example.no/ttdx/a/instances/1/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c", {}),
        ("https://ttd.apps.example.no/tt/a/instances/1/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c", {}),
        ("https://ttd/x/ttd", {}),
        ("https://ttd.apps.example.no/ttd/thing", {"resource": "urn:altinn:resource:app_skd_a"}),
    ],
)
def test_a_source_of_someone_else_is_refused(served: Served, source: str, extra: dict[str, str]) -> None:
    """Another org, one whose name is a prefix of it or the reverse, and another org's resource."""
    event = {"id": "1", "specversion": "1.0", "type": "t", "subject": "/party/1", "source": source, **extra}
    answer = post(served, EVENTS, event, media_type=STRUCTURED)

    assert "insufficient_scope" in answer.headers["www-authenticate"]
    assert refused(answer, 403, "foreign-source")["errors"]


def test_another_app_cannot_continue_an_instance(served: Served, app: str) -> None:
    """An instance belongs to the org and app that published it first."""
    event = app_event(app)
    post(served, APP, event).raise_for_status()
    foreign = {**event, "source": str(event["source"]).replace(f"/ttd/{app}/", "/ttd/other/")}

    refused(post(served, APP, foreign), 403, "foreign-source")


@pytest.mark.parametrize(
    ("scope", "organisation"),
    [("", SKD), ("altinn:events.publis", SKD), ("altinn:events.publishx", SKD), ("xaltinn:events.publish", SKD)],
)
def test_publishing_needs_the_whole_scope(served: Served, app: str, scope: str, organisation: str) -> None:
    """No scope, and scopes that only begin or end like it."""
    token = served.token(scope, organisation=organisation)
    problem = refused(served.client.post(APP, json=app_event(app), headers=bearer(token)), 403, "insufficient-scope")

    assert PUBLISH == problem["scope"]


@pytest.mark.parametrize("organisation", ["310000011", "999999999"])
def test_an_organisation_without_a_short_name_publishes_nothing(served: Served, app: str, organisation: str) -> None:
    """Who owns no apps has nothing of its own to publish."""
    token = served.token(PUBLISH, organisation=organisation)

    refused(served.client.post(APP, json=app_event(app), headers=bearer(token)), 403, "foreign-source")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"resource": "urn:altinn:resource:app_ttd_other"}, "/resource"),
        ({"resourceinstance": "50000001/other"}, "/resourceinstance"),
        ({"sequence": "00000000000000000001"}, "/sequence"),
        ({"type": ""}, "/type"),
        ({"specversion": "0.3"}, "/specversion"),
        ({"subject": "50000001"}, "/subject"),
        ({"source": "https://ttd.apps.example.no/ttd/a/../b/instances/1/x"}, "/source"),
        ({"time": "yesterday"}, "/time"),
    ],
)
def test_an_event_that_contradicts_itself_is_refused(
    served: Served, app: str, changes: dict[str, str], pointer: str
) -> None:
    """400 names the attribute, and nothing is written."""
    problem = refused(post(served, APP, app_event(app, **changes)), 400, "invalid-event")

    assert [pointer] == [fault["pointer"] for fault in problem["errors"]]  # type: ignore[attr-defined]  # a list
    assert [] == feed(served, app)


def test_every_fault_of_a_request_is_named(served: Served, app: str) -> None:
    """All events are checked before anything is written."""
    bodies = [app_event(app, type=""), app_event(app), app_event(app, specversion="2", subject=None), 5]
    problem = refused(post(served, APP, bodies), 400, "invalid-event")

    assert ["/0/type", "/2/specversion", "/2/subject", "/3"] == [
        fault["pointer"]
        for fault in problem["errors"]  # type: ignore[attr-defined]  # a list
    ]
    assert [] == feed(served, app)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"nonsense", b'{"a":' * 9999, b"\xff\xfe", b"null"])
def test_broken_json_is_refused(served: Served, body: bytes) -> None:
    """Whatever is broken about it."""
    refused(post(served, APP, body), 400, "invalid-event")


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        (APP, "text/plain"),
        (APP, "application/xml"),
        (APP, "application/json; charset=latin-1"),
        (EVENTS, "application/json"),
        (EVENTS, "application/cloudevents+xml"),
        (EVENTS, "text/plain"),
    ],
)
def test_a_wrong_media_type_is_refused(served: Served, app: str, path: str, media_type: str) -> None:
    """415, before the body is looked at."""
    refused(post(served, path, cloud_event(app), media_type=media_type), 415, "unsupported-media-type")


def test_a_65_kib_event_is_too_large(served: Served, app: str) -> None:
    """413 names it, and the small one beside it is not written."""
    problem = refused(post(served, APP, [cloud_event(app), cloud_event(app, data="x" * 65 * 1024)]), 413, "too-large")

    assert ["/1"] == [fault["pointer"] for fault in problem["errors"]]  # type: ignore[attr-defined]  # a list
    assert [] == feed(served, app)


def test_101_events_are_too_many(served: Served, app: str) -> None:
    """413, and nothing is written."""
    refused(post(served, APP, [cloud_event(app) for _ in range(101)]), 413, "too-large")

    assert [] == feed(served, app)


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("count", [40, 90])
def test_a_request_over_two_mebibytes_is_too_large(served: Served, app: str, count: int, *, chunked: bool) -> None:
    """Whether it says its length or not; the whole of it is taken first, so that the answer arrives."""
    body = json.dumps([cloud_event(app, data="x" * 60_000) for _ in range(count)]).encode()
    headers = {**bearer(served.token(PUBLISH)), "Content-Type": "application/json"}
    parts = (body[start : start + 65536] for start in range(0, len(body), 65536))
    refused(served.client.post(APP, content=parts if chunked else body, headers=headers), 413, "too-large")

    assert [] == feed(served, app)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}])
def test_a_refusal_arrives_though_much_is_sent(served: Served, headers: dict[str, str]) -> None:
    """Who may not publish is told so, however large the body it came with."""
    for path in (APP, EVENTS):
        answer = served.client.post(path, content=b"x" * 5_000_000, headers=headers)
        refused(answer, 401, "unauthenticated")


@pytest.mark.parametrize(
    ("headers", "pointer"),
    [
        ({"ce-subject": "%ff"}, "/subject"),
        ({"ce-subject": "%ED%A0%80"}, "/subject"),
        ({"ce-data": "x"}, "/data"),
        ({"ce-dataschema": "http://["}, "/dataschema"),
    ],
)
def test_a_header_that_is_no_attribute_is_refused(
    served: Served, app: str, headers: dict[str, str], pointer: str
) -> None:
    """Broken escapes, data in a header, a URI that is none: the publisher's fault, named."""
    attributes = {f"ce-{name}": str(value) for name, value in cloud_event(app).items()}
    problem = refused(post(served, EVENTS, {}, **{**attributes, **headers}), 400, "invalid-event")

    assert [pointer] == [fault["pointer"] for fault in problem["errors"]]  # type: ignore[attr-defined]  # a list


@pytest.mark.parametrize(
    "resource", ["app_ttd", "app_ttd_ø", "app_ttd_bolig/x", "app_ttd_bolig ", "APP_ttd_bolig", "app__bolig"]
)
def test_a_resource_that_nearly_names_an_app_is_refused(served: Served, resource: str) -> None:
    """It names an app as a whole, or is no app's at all."""
    event = {"id": "1", "specversion": "1.0", "type": "t", "source": "https://h/skd/y"}
    body = {**event, "resource": f"urn:altinn:resource:{resource}"}

    refused(post(served, EVENTS, body, media_type=STRUCTURED), 400, "invalid-event")


@pytest.mark.parametrize("resource", [None, "urn:altinn:resource:thing"])
def test_nobody_joins_an_instance_without_its_app(served: Served, app: str, resource: str | None) -> None:
    """An event of no app has no instance to speak of."""
    instance = "/".join(str(app_event(app)["source"]).split("/")[-2:])
    event = {"id": "1", "specversion": "1.0", "type": "t", "source": "https://h/ttd/y", "resourceinstance": instance}

    refused(post(served, EVENTS, {**event, "resource": resource}, media_type=STRUCTURED), 403, "foreign-source")


def test_numbers_that_a_float_would_round_are_different_content(served: Served, app: str) -> None:
    """Content is compared as sent."""
    event = cloud_event(app, data=0)
    bodies = [
        json.dumps(event).replace('"data": 0', f'"data": {number}') for number in ("1.0", "1.0000000000000000001")
    ]
    post(served, APP, bodies[0].encode()).raise_for_status()

    refused(post(served, APP, bodies[1].encode()), 409, "event-conflict")


def test_faults_are_told_up_to_a_bound_and_without_person_numbers(served: Served, app: str) -> None:
    """A request full of faults gives a readable answer, and nothing in it can be a person number."""
    events = [app_event(app, **{f"Bad{number}": 1 for number in range(400)}) for _ in range(5)]
    answer = post(served, APP, events)
    named = post(served, APP, app_event(app, P01838012345=1))

    assert 501 == len(answer.json()["errors"])
    assert "1500 more" in answer.json()["errors"][-1]["detail"]
    assert "01838012345" not in named.text
    assert 400 == named.status_code


def test_a_request_that_breaks_off_publishes_nothing(served: Served, app: str) -> None:
    """Half a body is no event, also where any bytes would be data."""
    attributes = {f"ce-{name}": str(value) for name, value in cloud_event(app).items()}
    headers = {**bearer(served.token(PUBLISH)), **attributes, "Content-Type": "text/plain", "Content-Length": "100"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    host = urlsplit(served.url)
    with socket.create_connection((host.hostname, host.port or 80)) as line:
        line.sendall(f"POST {EVENTS} HTTP/1.1\r\nHost: {host.netloc}\r\n{head}\r\nhalf of it".encode())
    time.sleep(0.3)

    assert [] == feed(served, app)


def test_binary_data_is_kept(served: Served, app: str) -> None:
    """A body that is no text comes back as base64."""
    event = cloud_event(app)
    attributes = {f"ce-{name}": str(value) for name, value in event.items()}
    post(served, EVENTS, b"\x00\xff", media_type="application/octet-stream", **attributes).raise_for_status()

    assert b"\x00\xff" == base64.b64decode(str(feed(served, app)[0]["data_base64"]))
