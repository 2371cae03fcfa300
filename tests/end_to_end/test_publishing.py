"""Publishing over HTTP: receipts, repeated requests, and every kind of invalid request."""

import base64
import gzip
import json
import socket
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from tests.support.feeds import app_feed_events, assert_problem
from tests.support.publishing import (
    APP_PATH,
    BATCH_MEDIA_TYPE,
    EVENT_MEDIA_TYPE,
    EVENTS_PATH,
    PUBLISH_ADMIN_SCOPE,
    PUBLISH_SCOPE,
    app_event,
    cloud_event,
    implied,
    post_events,
)
from tests.support.service import SKD, RunningService, bearer


def test_published_app_event_gets_a_receipt_and_a_location(service: RunningService, app: str) -> None:
    """201 has a receipt, and its Location returns the event with the attributes that the service adds."""
    event_body = app_event(app, data={"ø": [1.5]}, alternativesubject="/person/01838012345")
    response = post_events(service, APP_PATH, event_body)
    receipt = response.json()
    page = service.client.get(response.headers["location"], headers=bearer(service.token(f"altinn:events/ttd/{app}")))
    (event,) = page.json()

    assert 201 == response.status_code
    assert {"id", "source", "sequence", "time", "duplicate"} == receipt.keys()
    added = {"id": receipt["id"], "time": event["time"], "sequence": receipt["sequence"], **implied(event_body)}
    assert {**event_body, **added} == event


def test_array_gets_receipts_in_its_order(service: RunningService, app: str) -> None:
    """Receipts have the order of the events, and increasing sequences."""
    events = [cloud_event(app) for _ in range(100)]
    receipts = post_events(service, APP_PATH, events).raise_for_status().json()
    sequences = [int(receipt["sequence"]) for receipt in receipts]

    assert [event["id"] for event in events] == [receipt["id"] for receipt in receipts]
    assert sequences == sorted(sequences)
    assert events == [{name: event[name] for name in events[0]} for event in app_feed_events(service, app)]


@pytest.mark.parametrize("mode", ["structured", "batched", "binary"])
def test_each_content_mode_publishes_the_same_event(service: RunningService, app: str, mode: str) -> None:
    """Structured, batched and binary mode publish an event alike."""
    event = cloud_event(app, data={"a": 1}, datacontenttype="application/json")
    match mode:
        case "structured":
            response = post_events(service, EVENTS_PATH, event, media_type=EVENT_MEDIA_TYPE)
        case "batched":
            response = post_events(service, EVENTS_PATH, [event], media_type=BATCH_MEDIA_TYPE)
        case _:
            attributes = {f"ce-{name}": str(value) for name, value in event.items() if not name.startswith("data")}
            response = post_events(service, EVENTS_PATH, event["data"], **attributes)
    receipt = response.json()[0] if mode == "batched" else response.json()
    (feed_event,) = app_feed_events(service, app)

    assert 200 == response.status_code
    assert event["id"] == receipt["id"]
    assert event == {name: feed_event[name] for name in event}


def test_repeated_event_gets_its_first_receipt(service: RunningService, app: str) -> None:
    """In any content mode and order of members, a repeated event is a duplicate and is stored once."""
    event = cloud_event(app)
    first = post_events(service, APP_PATH, event).json()
    repeat = post_events(service, APP_PATH, dict(reversed(event.items()))).json()
    structured_repeat = post_events(service, EVENTS_PATH, event, media_type=EVENT_MEDIA_TYPE).json()

    assert {**first, "duplicate": True} == repeat == structured_repeat
    assert 1 == len(app_feed_events(service, app))


def test_event_without_an_id_is_new_each_time(service: RunningService, app: str) -> None:
    """Only events with an id can be recognised as repeats."""
    event = app_event(app)
    receipts = [post_events(service, APP_PATH, event).json() for _ in range(2)]

    assert [False, False] == [receipt["duplicate"] for receipt in receipts]
    assert 2 == len({receipt["id"] for receipt in receipts})


def test_changed_content_with_the_same_identity_is_a_conflict(service: RunningService, app: str) -> None:
    """409 names the event, and no event of the request is stored."""
    event = cloud_event(app)
    post_events(service, APP_PATH, event).raise_for_status()
    problem = assert_problem(
        post_events(service, APP_PATH, [cloud_event(app), {**event, "type": "other"}]), 409, "event-conflict"
    )

    assert ["/1"] == [error["pointer"] for error in problem["errors"]]  # type: ignore[attr-defined]  # a list
    assert 1 == len(app_feed_events(service, app))


def test_admin_scope_permits_publishing_for_any_org(service: RunningService, app: str) -> None:
    """The admin scope alone is enough, for any source."""
    token = service.token(PUBLISH_ADMIN_SCOPE, organisation=SKD)
    response = service.client.post(APP_PATH, json=app_event(app), headers=bearer(token))

    assert 201 == response.status_code


@pytest.mark.parametrize(
    ("source", "extra"),
    [
        ("https://skd.apps.example.no/skd/a/instances/1/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c", {}),
        ("https://ttd.apps.example.no/ttdx/a/instances/1/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c", {}),
        ("https://ttd.apps.example.no/tt/a/instances/1/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c", {}),
        ("https://ttd/x/ttd", {"resource": "urn:altinn:resource:app_ttd_a"}),
        ("https://host?x=/ttd/thing", {"resource": "urn:altinn:resource:app_ttd_a"}),
        ("https://ttd.apps.example.no/ttd/thing", {"resource": "urn:altinn:resource:app_skd_a"}),
    ],
)
def test_source_of_another_org_is_rejected_with_403(
    service: RunningService, source: str, extra: dict[str, str]
) -> None:
    """Another org, an org with a similar name, and a resource of another org are refused."""
    event = {"id": "1", "specversion": "1.0", "type": "t", "subject": "/party/1", "source": source, **extra}
    response = post_events(service, EVENTS_PATH, event, media_type=EVENT_MEDIA_TYPE)

    assert "insufficient_scope" in response.headers["www-authenticate"]
    assert assert_problem(response, 403, "foreign-source")["errors"]


def test_another_app_cannot_publish_about_an_instance(service: RunningService, app: str) -> None:
    """An instance belongs to the org and app that published it first."""
    event = app_event(app)
    post_events(service, APP_PATH, event).raise_for_status()
    foreign = {**event, "source": str(event["source"]).replace(f"/ttd/{app}/", "/ttd/other/")}

    assert_problem(post_events(service, APP_PATH, foreign), 403, "foreign-source")


@pytest.mark.parametrize(
    ("scope", "organisation"),
    [("", SKD), ("altinn:events.publis", SKD), ("altinn:events.publishx", SKD), ("xaltinn:events.publish", SKD)],
)
def test_publishing_without_the_full_scope_is_rejected_with_403(
    service: RunningService, app: str, scope: str, organisation: str
) -> None:
    """No scope, and scopes that only begin or end alike, are not enough."""
    token = service.token(scope, organisation=organisation)
    problem = assert_problem(
        service.client.post(APP_PATH, json=app_event(app), headers=bearer(token)), 403, "insufficient-scope"
    )

    assert PUBLISH_SCOPE == problem["scope"]


@pytest.mark.parametrize("organisation", ["310000011", "999999999"])
def test_organisation_without_a_short_name_cannot_publish(service: RunningService, app: str, organisation: str) -> None:
    """An organisation without apps owns no source."""
    token = service.token(PUBLISH_SCOPE, organisation=organisation)

    assert_problem(service.client.post(APP_PATH, json=app_event(app), headers=bearer(token)), 403, "foreign-source")


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
def test_contradictory_event_is_rejected_with_its_pointer(
    service: RunningService, app: str, changes: dict[str, str], pointer: str
) -> None:
    """400 names the attribute, and no event is stored."""
    problem = assert_problem(post_events(service, APP_PATH, app_event(app, **changes)), 400, "invalid-event")

    assert [pointer] == [error["pointer"] for error in problem["errors"]]  # type: ignore[attr-defined]  # a list
    assert [] == app_feed_events(service, app)


def test_all_invalid_events_of_a_request_are_reported(service: RunningService, app: str) -> None:
    """Every event is validated before any is stored."""
    bodies = [app_event(app, type=""), app_event(app), app_event(app, specversion="2", subject=None), 5]
    problem = assert_problem(post_events(service, APP_PATH, bodies), 400, "invalid-event")

    assert ["/0/type", "/2/specversion", "/2/subject", "/3"] == [
        error["pointer"]
        for error in problem["errors"]  # type: ignore[attr-defined]  # a list
    ]
    assert [] == app_feed_events(service, app)


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"a":' * 9999, b"\xff\xfe", b"null"])
def test_body_that_is_no_event_is_rejected_with_400(service: RunningService, body: bytes) -> None:
    """Malformed JSON and JSON without an event get 400."""
    assert_problem(post_events(service, APP_PATH, body), 400, "invalid-event")


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        (APP_PATH, "text/plain"),
        (APP_PATH, "application/xml"),
        (APP_PATH, "application/json; charset=latin-1"),
        (EVENTS_PATH, "application/json"),
        (EVENTS_PATH, "application/cloudevents+xml"),
        (EVENTS_PATH, "text/plain"),
    ],
)
def test_unsupported_media_type_is_rejected_with_415(
    service: RunningService, app: str, path: str, media_type: str
) -> None:
    """The media type is checked before the body."""
    assert_problem(post_events(service, path, cloud_event(app), media_type=media_type), 415, "unsupported-media-type")


def test_event_of_65_kib_is_rejected_with_413(service: RunningService, app: str) -> None:
    """The problem names the event, and the small event in the same request is not stored."""
    problem = assert_problem(
        post_events(service, APP_PATH, [cloud_event(app), cloud_event(app, data="x" * 65 * 1024)]), 413, "too-large"
    )

    assert ["/1"] == [error["pointer"] for error in problem["errors"]]  # type: ignore[attr-defined]  # a list
    assert [] == app_feed_events(service, app)


def test_request_with_101_events_is_rejected_with_413(service: RunningService, app: str) -> None:
    """No event of the request is stored."""
    assert_problem(post_events(service, APP_PATH, [cloud_event(app) for _ in range(101)]), 413, "too-large")

    assert [] == app_feed_events(service, app)


@pytest.mark.parametrize("is_chunked", [True, False])
@pytest.mark.parametrize("count", [40, 90])
def test_request_over_two_mebibytes_is_rejected_with_413(
    service: RunningService, app: str, count: int, *, is_chunked: bool
) -> None:
    """The service reads the whole body, with or without a stated length, so that the response arrives."""
    body = json.dumps([cloud_event(app, data="x" * 60_000) for _ in range(count)]).encode()
    headers = {**bearer(service.token(PUBLISH_SCOPE)), "Content-Type": "application/json"}
    parts = (body[start : start + 65536] for start in range(0, len(body), 65536))
    assert_problem(
        service.client.post(APP_PATH, content=parts if is_chunked else body, headers=headers), 413, "too-large"
    )

    assert [] == app_feed_events(service, app)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}])
def test_rejection_of_a_large_body_reaches_the_client(service: RunningService, headers: dict[str, str]) -> None:
    """A caller without permission to publish gets 401, for any size of the body."""
    for path in (APP_PATH, EVENTS_PATH):
        response = service.client.post(path, content=b"x" * 5_000_000, headers=headers)
        assert_problem(response, 401, "unauthenticated")


@pytest.mark.parametrize(
    ("headers", "pointer"),
    [
        ({"ce-subject": "%ff"}, "/subject"),
        ({"ce-subject": "%ED%A0%80"}, "/subject"),
        ({"ce-data": "x"}, "/data"),
        ({"ce-dataschema": "http://["}, "/dataschema"),
    ],
)
def test_invalid_attribute_header_is_rejected_with_its_pointer(
    service: RunningService, app: str, headers: dict[str, str], pointer: str
) -> None:
    """Malformed escapes, data in a header and an invalid URI get 400 with a pointer."""
    attributes = {f"ce-{name}": str(value) for name, value in cloud_event(app).items()}
    problem = assert_problem(post_events(service, EVENTS_PATH, {}, **{**attributes, **headers}), 400, "invalid-event")

    assert [pointer] == [error["pointer"] for error in problem["errors"]]  # type: ignore[attr-defined]  # a list


@pytest.mark.parametrize(
    "resource", ["app_ttd", "app_ttd_ø", "app_ttd_bolig/x", "app_ttd_bolig ", "APP_ttd_bolig", "app__bolig"]
)
def test_resource_that_resembles_an_app_is_rejected(service: RunningService, resource: str) -> None:
    """A resource names an app exactly or not at all."""
    event = {"id": "1", "specversion": "1.0", "type": "t", "source": "https://h/skd/y"}
    body = {**event, "resource": f"urn:altinn:resource:{resource}"}

    assert_problem(post_events(service, EVENTS_PATH, body, media_type=EVENT_MEDIA_TYPE), 400, "invalid-event")


def test_event_without_an_app_cannot_join_an_instance(service: RunningService, app: str) -> None:
    """Only events of an app can name one of its instances."""
    instance = "/".join(str(app_event(app)["source"]).split("/")[-2:])
    event = {"id": "1", "specversion": "1.0", "type": "t", "source": "https://h/ttd/y", "resourceinstance": instance}
    resource = "urn:altinn:resource:thing"

    assert_problem(
        post_events(service, EVENTS_PATH, {**event, "resource": resource}, media_type=EVENT_MEDIA_TYPE),
        403,
        "foreign-source",
    )


def test_numbers_that_differ_beyond_float_precision_are_a_conflict(service: RunningService, app: str) -> None:
    """Content is compared as the client sent it."""
    event = cloud_event(app, data=0)
    bodies = [
        json.dumps(event).replace('"data": 0', f'"data": {number}') for number in ("1.0", "1.0000000000000000001")
    ]
    post_events(service, APP_PATH, bodies[0].encode()).raise_for_status()

    assert_problem(post_events(service, APP_PATH, bodies[1].encode()), 409, "event-conflict")


def test_errors_are_limited_in_number_and_masked(service: RunningService, app: str) -> None:
    """A problem lists 500 errors at most, and never contains a person number."""
    events = [app_event(app, **{f"Bad{number}": 1 for number in range(400)}) for _ in range(5)]
    response = post_events(service, APP_PATH, events)
    masked_response = post_events(service, APP_PATH, app_event(app, P01838012345=1))

    assert 501 == len(response.json()["errors"])
    assert "1500 more" in response.json()["errors"][-1]["detail"]
    assert "01838012345" not in masked_response.text
    assert 400 == masked_response.status_code


def test_request_that_breaks_off_publishes_nothing(service: RunningService, app: str) -> None:
    """The service discards an incomplete body, even of a media type that permits any bytes."""
    attributes = {f"ce-{name}": str(value) for name, value in cloud_event(app).items()}
    headers = {
        **bearer(service.token(PUBLISH_SCOPE)),
        **attributes,
        "Content-Type": "text/plain",
        "Content-Length": "100",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port or 80)) as connection:
        connection.sendall(f"POST {EVENTS_PATH} HTTP/1.1\r\nHost: {address.netloc}\r\n{head}\r\nhalf of it".encode())
    later = cloud_event(app)
    post_events(service, APP_PATH, later).raise_for_status()

    assert [later["id"]] == [event["id"] for event in app_feed_events(service, app)]


def test_binary_data_is_returned_as_base64(service: RunningService, app: str) -> None:
    """A body that is no text becomes `data_base64`."""
    event = cloud_event(app)
    attributes = {f"ce-{name}": str(value) for name, value in event.items()}
    post_events(
        service, EVENTS_PATH, b"\x00\xff", media_type="application/octet-stream", **attributes
    ).raise_for_status()

    assert b"\x00\xff" == base64.b64decode(str(app_feed_events(service, app)[0]["data_base64"]))


@pytest.mark.parametrize("path", [APP_PATH, EVENTS_PATH])
@pytest.mark.parametrize("ahead", [timedelta(minutes=5), timedelta(days=30_000)])
def test_time_from_the_future_is_stored_as_the_registration(
    service: RunningService, app: str, path: str, ahead: timedelta
) -> None:
    """A consumer that reads from the newest time that it has seen gets every later event."""
    time = (datetime.now(UTC) + ahead).isoformat()
    events = [cloud_event(app, time=time), cloud_event(app, time="2020-01-31T12:00:00.5+01:00")]
    first, past = post_events(service, path, events, media_type=BATCH_MEDIA_TYPE).raise_for_status().json()
    seen, unchanged = app_feed_events(service, app)
    repeat = post_events(service, path, events, media_type=BATCH_MEDIA_TYPE).raise_for_status().json()
    later = cloud_event(app)
    post_events(service, path, [later], media_type=BATCH_MEDIA_TYPE).raise_for_status()
    token = service.token(f"altinn:events/ttd/{app}")
    page = service.client.get(
        f"/events/api/v1/app/ttd/{app}", params={"from": str(seen["time"])}, headers=bearer(token)
    ).raise_for_status()

    assert (first["time"], "2020-01-31T12:00:00.5+01:00") == (seen["time"], unchanged["time"])
    assert {**events[0], "time": first["time"], "sequence": first["sequence"], **implied(events[0])} == seen
    assert later["id"] in [event["id"] for event in page.json()]
    assert [True, True] == [receipt["duplicate"] for receipt in repeat]
    assert [first["sequence"], past["sequence"]] == [receipt["sequence"] for receipt in repeat]


@pytest.mark.parametrize(
    ("path", "media_type"),
    [(APP_PATH, "application/json"), (APP_PATH, BATCH_MEDIA_TYPE), (EVENTS_PATH, BATCH_MEDIA_TYPE)],
)
def test_empty_batch_gets_an_empty_array(service: RunningService, path: str, media_type: str) -> None:
    """There is nothing to write, and no location."""
    response = post_events(service, path, [], media_type=media_type)

    assert (200, []) == (response.status_code, response.json())
    assert "location" not in response.headers


@pytest.mark.parametrize("mode", ["structured", "batched", "binary", "app"])
def test_gzip_body_publishes_its_events(service: RunningService, app: str, mode: str) -> None:
    """Every mode takes it."""
    event = cloud_event(app)
    headers = {"Content-Encoding": "gzip"}
    if mode == "binary":
        headers |= {f"ce-{name}": str(value) for name, value in event.items()}
    content = {"batched": [event], "binary": {"a": 1}}.get(mode, event)
    media_type = {"structured": EVENT_MEDIA_TYPE, "batched": BATCH_MEDIA_TYPE}.get(mode, "application/json")
    path = APP_PATH if mode == "app" else EVENTS_PATH
    body = gzip.compress(json.dumps(content).encode())
    post_events(service, path, body, media_type=media_type, **headers).raise_for_status()
    (stored,) = app_feed_events(service, app)

    assert event["id"] == stored["id"]
    assert mode != "binary" or {"a": 1} == stored["data"]


def test_body_in_another_coding_is_rejected_with_415(service: RunningService, app: str) -> None:
    """The response names the accepted codings, on every route with a body, and nothing is stored."""
    refusal = post_events(service, APP_PATH, cloud_event(app), **{"Content-Encoding": "br"})
    headers = {**bearer(service.token("x")), "Content-Encoding": "br"}
    party_refusal = service.client.post("/events/api/v1/party", json={"after": "0"}, headers=headers)

    for response in (refusal, party_refusal):
        assert_problem(response, 415, "unsupported-media-type")
        assert "gzip, identity" == response.headers["accept-encoding"]
    assert [] == app_feed_events(service, app)


def test_gzip_that_is_too_large_after_decoding_is_rejected(service: RunningService) -> None:
    """Its 2 KB would be 2 MiB and a byte."""
    body = gzip.compress(b" " * (2 * 1024 * 1024 + 1))
    response = post_events(service, APP_PATH, body, **{"Content-Encoding": "gzip"})

    assert_problem(response, 413, "too-large")


@pytest.mark.parametrize("path", ["/events/api/v1/party", "/events/api/v1/approvals/310000033"])
@pytest.mark.parametrize("body", [b'{"after":"0","after":"1"}', b'\xef\xbb\xbf{"after":"0"}'])
def test_other_bodies_are_checked_too(service: RunningService, path: str, body: bytes) -> None:
    """A repeated member and a byte order mark are named."""
    headers = {**bearer(service.token("altinn:events.admin")), "Content-Type": "application/json"}
    method = "PUT" if "approvals" in path else "POST"
    problem = assert_problem(
        service.client.request(method, path, content=body, headers=headers), 400, "invalid-request"
    )

    assert "/after" in str(problem["errors"]) or "byte order mark" in str(problem["errors"])


@pytest.mark.parametrize("name", ["data_base64", "data\\u005fbase64", "data_b\\u0061se64", "\\u0064ata_base64"])
def test_repeated_member_beside_binary_data_is_refused(service: RunningService, app: str, name: str) -> None:
    """However the name of the data is spelt: the decoded data may have any number of colons."""
    event = json.dumps(cloud_event(app, datacontenttype="text/plain"))[:-1]
    body = f'{event},"{name}":"YTpi","x":"1","x":"2"}}'.encode()
    problem = assert_problem(post_events(service, EVENTS_PATH, body, media_type=EVENT_MEDIA_TYPE), 400, "invalid-event")

    assert [{"pointer": "/x", "detail": "is repeated (RFC 7493 §2.3)"}] == problem["errors"]
