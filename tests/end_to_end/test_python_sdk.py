"""The CloudEvents SDK for Python (PyPI `cloudevents`) as a client: its events published, and our pages parsed by it."""

import json
import uuid
from datetime import UTC, datetime

import httpx
import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from eventfeed.client.stream import StreamParser
from tests.support.feeds import app_feed_events
from tests.support.publishing import BATCH_MEDIA_TYPE, EVENTS_PATH, PUBLISH_SCOPE
from tests.support.service import RunningService, bearer

DATA = [
    ({"a": [1, 1.5, None], "ø": "æ"}, "application/json"),
    ("blåbær", "text/plain"),
    (b"\x00\xff", "application/octet-stream"),
    ({"a": 1}, "text/x+json"),
]
STRUCTURED = {"content-type": "application/cloudevents+json"}


def sdk_event(app: str, data: object, media_type: str) -> CloudEvent:
    """An event of the SDK, with every kind of text that a header encodes."""
    attributes = {
        "id": str(uuid.uuid4()),
        "source": f"https://ttd.apps.example.no/ttd/{app}/instances/50000001/{uuid.uuid4()}",
        "type": "instance.created",
        "specversion": "1.0",
        "subject": "/party/50000001",
        "time": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "datacontenttype": media_type,
        "note": 'a "quoted" 20 % ø',
    }
    return CloudEvent(attributes, data)  # type: ignore[arg-type]  # any value of JSON


def post(service: RunningService, message: HTTPMessage) -> httpx.Response:
    """Send a message of the SDK."""
    headers = {**message.headers, **bearer(service.token(PUBLISH_SCOPE))}
    return service.client.post(EVENTS_PATH, content=message.body, headers=headers).raise_for_status()


@pytest.mark.parametrize("mode", ["structured", "binary", "batched"])
@pytest.mark.parametrize(("data", "media_type"), DATA, ids=str)
def test_event_of_the_sdk_returns_as_it_was_published(
    service: RunningService, app: str, mode: str, data: object, media_type: str
) -> None:
    """In each content mode the SDK reads its own event from our page."""
    event = sdk_event(app, data, media_type)
    structured = to_structured_event(event)
    batch = HTTPMessage({"content-type": BATCH_MEDIA_TYPE}, b"[%b]" % structured.body)
    post(service, {"structured": structured, "binary": to_binary_event(event), "batched": batch}[mode])
    (stored,) = app_feed_events(service, app)
    read = from_structured_event(HTTPMessage(STRUCTURED, json.dumps(stored).encode()))

    assert data == read.get_data()
    assert event.get_attributes() == {
        name: value for name, value in read.get_attributes().items() if name in event.get_attributes()
    }


@pytest.mark.parametrize(("data", "media_type"), DATA, ids=str)
def test_event_of_the_sdk_in_another_mode_is_a_repeat(
    service: RunningService, app: str, data: object, media_type: str
) -> None:
    """Structured first, then binary: one event is stored."""
    event = sdk_event(app, data, media_type)
    receipts = [post(service, message).json() for message in (to_structured_event(event), to_binary_event(event))]

    assert [False, True] == [receipt["duplicate"] for receipt in receipts]


def test_sdk_reads_a_stream(service: RunningService, app: str) -> None:
    """The data of each message is an event in structured mode."""
    events = [sdk_event(app, data, media_type) for data, media_type in DATA]
    for event in events:
        post(service, to_structured_event(event))
    parser, received = StreamParser(), list[BaseCloudEvent]()
    headers = {**bearer(service.token("altinn:events/ttd")), "Accept": "text/event-stream"}
    with service.client.stream("GET", f"/events/api/v1/app/ttd/{app}?after=0", headers=headers) as response:
        for chunk in response.iter_bytes():
            messages = (HTTPMessage(STRUCTURED, each.data) for each in parser.feed(chunk) if each.data)
            received += [from_structured_event(each) for each in messages]
            if len(received) >= len(events):
                break

    assert [(each.get_id(), each.get_data()) for each in events] == [
        (each.get_id(), each.get_data()) for each in received
    ]
