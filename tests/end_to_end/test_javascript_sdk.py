"""The CloudEvents SDK for JavaScript (npm `cloudevents`) as a client: it publishes, and reads our pages and streams."""

import base64
import uuid

import pytest

from tests.javascript import run_client
from tests.support.feeds import app_feed_events
from tests.support.publishing import EVENTS_PATH, PUBLISH_SCOPE
from tests.support.service import RunningService, bearer

MODES = ["structured", "binary", "batch"]
OCTETS = base64.b64encode(bytes(range(256))).decode()
DATA: dict[str, dict[str, object]] = {
    "json": {"datacontenttype": "application/json", "data": {"a": [1, 1.5, None], "ø": "🌎"}},
    "text": {"datacontenttype": "text/plain; charset=utf-8", "data": "blåbær\n🌎"},
    "xml": {"datacontenttype": "application/xml", "data": "<a>ø</a>"},
    "octets": {"datacontenttype": "application/octet-stream", "octets": OCTETS},
    "none": {},
}
# The attributes that the service adds (contract section 3).
ADDITIONS = {"sequence", "resource", "resourceinstance"}


def sdk_event(app: str, **changes: object) -> dict[str, object]:
    """The attributes of an event, with extensions of each type."""
    return {
        "id": str(uuid.uuid4()),
        "source": f"https://ttd.apps.example.no/ttd/{app}/instances/50000001/{uuid.uuid4()}",
        "type": "instance.created",
        "specversion": "1.0",
        "subject": "/party/50000001",
        "time": "2026-01-31T12:00:00.000Z",
        "dataschema": "https://example.no/schema",
        "note": "a text",
        **changes,
    }


def publish(service: RunningService, mode: str, *events: dict[str, object]) -> list[dict[str, object]]:
    """Publish events with the SDK, and return the statuses and bodies of the responses."""
    headers = bearer(service.token(PUBLISH_SCOPE))
    responses: list[dict[str, object]] = run_client(
        "publish", url=service.url + EVENTS_PATH, headers=headers, mode=mode, events=events
    )
    return responses


def read(service: RunningService, app: str, task: str = "page", **values: object) -> list[dict[str, object]]:
    """Read the feed of an app with the SDK, which checks each event."""
    url = f"{service.url}/events/api/v1/app/ttd/{app}?after=0"
    headers = bearer(service.token("altinn:events/ttd"))
    events: list[dict[str, object]] = run_client(task, url=url, headers=headers, **values)
    return events


def in_page(event: dict[str, object], *, mode: str) -> dict[str, object]:
    """The event as a page has it. In binary mode only the media type tells text and JSON from octets."""
    members = dict(event)
    if octets := members.pop("octets", None):
        members["data_base64"] = octets
    if mode == "binary" and members.get("datacontenttype") == "application/xml":
        members["data_base64"] = base64.b64encode(str(members.pop("data")).encode()).decode()
    if mode == "binary" and "datacontenttype" not in members:
        members["datacontenttype"] = "application/json; charset=utf-8"  # the SDK adds it
    return members


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_event_of_the_sdk_is_stored_as_it_was_made(
    service: RunningService, app: str, mode: str, data: dict[str, object]
) -> None:
    """In each content mode and with each kind of data."""
    event = sdk_event(app, **data)
    (response,) = publish(service, mode, event)
    (stored,) = app_feed_events(service, app)

    assert 200 == response["status"], response
    assert in_page(event, mode=mode) == {name: value for name, value in stored.items() if name not in ADDITIONS}


@pytest.mark.parametrize("task", ["page", "stream"])
def test_sdk_reads_pages_and_streams(service: RunningService, app: str, task: str) -> None:
    """It accepts each event by its strict rules, and finds what was published, in order."""
    events = [sdk_event(app, **data) for data in DATA.values()]
    publish(service, "batch", *events)
    received = read(service, app, task, count=len(events))

    assert [event["id"] for event in events] == [event["id"] for event in received]
    for event, other in zip(events, received, strict=True):
        expected = {name: value for name, value in event.items() if name not in ("octets", "data")}
        assert expected == {name: other[name] for name in expected}
        assert event.get("data") == (other.get("data") if "data" in event else None)
        assert 20 == len(str(other["sequence"]))


@pytest.mark.parametrize("mode", ["binary", "batch"])
def test_event_of_the_sdk_in_another_mode_is_a_repeat(service: RunningService, app: str, mode: str) -> None:
    """The first receipt comes again."""
    event = sdk_event(app, **DATA["json"], number=5, flag=True)
    first, second = (publish(service, each, event)[0]["body"] for each in ("structured", mode))
    repeat = second[0] if isinstance(second, list) else second

    assert isinstance(first, dict)
    assert {**first, "duplicate": True} == repeat


def test_header_that_the_sdk_does_not_encode_is_named(service: RunningService, app: str) -> None:
    """The HTTP binding 1.0.2 (§3.1.3.2) requires `%25`, and the SDK sends `%`. Structured mode has no such limit."""
    event = sdk_event(app, note="50 % of it")
    (refusal,), (receipt,) = publish(service, "binary", event), publish(service, "structured", event)

    assert (400, 200) == (refusal["status"], receipt["status"])
    assert "ce-note" in str(refusal["body"])
