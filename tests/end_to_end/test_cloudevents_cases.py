"""The cases of the CloudEvents conformance repository: each valid event is stored and returned, each other is named.

The events are those of cloudevents/conformance: features/http-protocol-binding.feature, yaml/v1.yaml,
yaml/v1.0/v1_minimum.yaml, yaml/v03.yaml, yaml/v0.3/v03_minimum.yaml, and pkg/diff/testdata. Their sources are relative,
and this service takes the URL of an app, so each event has such a source instead, except in one test.
"""

import base64
import json
import uuid
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote

import httpx
import pytest

from tests.support.feeds import app_feed_events, assert_problem
from tests.support.publishing import BATCH_MEDIA_TYPE, EVENT_MEDIA_TYPE, EVENTS_PATH, post_events
from tests.support.service import RunningService

Attributes = Mapping[str, str]

SOME_EVENT: Attributes = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "time": "2018-04-05T03:56:24Z",
    "id": "1234-1234-1234",
}
EXTENDED_EVENT = {**SOME_EVENT, "id": "4321-4321-4321", "comexampleextension1": "value"}
EXTENSION_2 = '{"othervalue": 5}'
MINIMUM: Attributes = {"specversion": "1.0", "type": "io.cloudevents.minimum"}


class Case(NamedTuple):
    """An event: its attributes but for the source, the media type of its data, and the data as a body."""

    attributes: Attributes
    media_type: str
    body: str

    @property
    def data(self) -> object:
        """The data as a JSON value."""
        return json.loads(self.body) if "json" in self.media_type else self.body


CASES = {
    "binary content mode": Case(SOME_EVENT, "application/json", '{"message": "Hello World!"}'),
    "binary content mode, charset": Case(SOME_EVENT, "application/json; charset=utf-8", '{"message": "Hello World!"}'),
    "v1": Case({**EXTENDED_EVENT, "comexampleextension2": EXTENSION_2}, "application/json", '{"world":"hello"}'),
    "0001": Case({**MINIMUM, "id": "conformance-0001"}, "text/plain; charset=us-ascii", "Hello, World!\n"),
    "0002": Case({**MINIMUM, "id": "conformance-0002"}, "text/plain; charset=utf-8", "Hello, 🌎!\n"),
    "0003": Case({**MINIMUM, "id": "conformance-0003"}, "application/json; charset=utf-8", '"Hello, 🌎!"\n'),
    "0004": Case({**MINIMUM, "id": "conformance-0004"}, "application/json; charset=utf-8", '{"msg":"Hello, 🌎!"}\n'),
    "0005": Case({**MINIMUM, "id": "conformance-0005"}, "application/json; charset=utf-8", '["Hello","🌎!"]\n'),
    "0006": Case({**MINIMUM, "id": "conformance-0006"}, "application/xml; charset=utf-8", "<msg>Hello, 🌎!</msg>\n"),
}
STRUCTURED_TYPES = [EVENT_MEDIA_TYPE, f"{EVENT_MEDIA_TYPE}; charset=utf-8", BATCH_MEDIA_TYPE]


def source(app: str) -> str:
    """The source of an instance of an app."""
    return f"https://ttd.apps.example.no/ttd/{app}/instances/50000001/{uuid.uuid4()}"


def publish_binary(service: RunningService, attributes: Attributes, case: Case) -> httpx.Response:
    """Publish a case with these attributes as headers."""
    headers = {f"ce-{name}": quote(value, safe=" !#&'()*+,/:;=?@[]") for name, value in attributes.items()}
    return post_events(service, EVENTS_PATH, case.body.encode(), media_type=case.media_type, **headers)


def publish_structured(
    service: RunningService, attributes: Attributes, case: Case, *, media_type: str = EVENT_MEDIA_TYPE
) -> httpx.Response:
    """Publish a case with these attributes as JSON, in a batch or alone."""
    event = {**attributes, "datacontenttype": case.media_type, "data": case.data}
    body = [event] if media_type == BATCH_MEDIA_TYPE else event
    return post_events(service, EVENTS_PATH, body, media_type=media_type)


def data_of(event: dict[str, object]) -> object:
    """The data of a stored event; octets as the text that they are."""
    octets = event.pop("data_base64", None)
    return base64.b64decode(str(octets)).decode() if octets else event.pop("data")


def assert_stored(service: RunningService, app: str, attributes: Attributes, case: Case) -> None:
    """Assert that the feed of the app has the case as its only event, with what the service adds and nothing else."""
    (event,) = app_feed_events(service, app)
    additions = {name: event[name] for name in ("sequence", "time", "resource", "resourceinstance")}

    assert case.data == data_of(event)
    assert {**additions, **attributes, "datacontenttype": case.media_type} == event


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_event_of_the_cases_in_binary_mode_is_returned_as_it_was_sent(
    service: RunningService, app: str, case: Case
) -> None:
    """The same event in structured mode is a repeat."""
    attributes = {**case.attributes, "source": source(app)}
    first, second = publish_binary(service, attributes, case), publish_structured(service, attributes, case)

    assert (200, 200) == (first.status_code, second.status_code), (first.text, second.text)
    assert {**first.json(), "duplicate": True} == second.json()
    assert_stored(service, app, attributes, case)


@pytest.mark.parametrize("media_type", STRUCTURED_TYPES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_event_of_the_cases_in_structured_mode_is_returned_as_it_was_sent(
    service: RunningService, app: str, media_type: str, case: Case
) -> None:
    """Alone and in a batch."""
    attributes = {**case.attributes, "source": source(app)}
    response = publish_structured(service, attributes, case, media_type=media_type)

    assert 200 == response.status_code, response.text
    assert_stored(service, app, attributes, case)


@pytest.mark.parametrize("publish", [publish_binary, publish_structured])
@pytest.mark.parametrize(
    ("changes", "removed", "pointers"),
    [
        ({"specversion": "0.3"}, (), ["/specversion"]),
        ({}, ("id", "source", "specversion"), ["/id", "/source", "/specversion"]),
        ({}, ("source",), ["/source"]),
        ({"comexampleextension2": f"{EXTENSION_2}\n"}, (), ["/comexampleextension2"]),
        ({"source": "/mycontext/subcontext"}, (), ["/source"]),
        ({"source": "//github.com/cloudevents/cloudeventsconformance/yaml/v1.yaml"}, (), ["/source"]),
    ],
    ids=["v0.3", "only a type", "no source", "line break in an extension", "relative source", "source without scheme"],
)
def test_other_event_of_the_cases_is_refused_by_its_attributes(
    service: RunningService,
    app: str,
    publish: Callable[[RunningService, Attributes, Case], httpx.Response],
    changes: Attributes,
    removed: tuple[str, ...],
    pointers: list[str],
) -> None:
    """Another version, absent attributes, control characters, and sources that are no absolute URL."""
    attributes = {**CASES["v1"].attributes, "source": source(app), **changes}
    sent = {name: value for name, value in attributes.items() if name not in removed}
    problem = assert_problem(publish(service, sent, CASES["v1"]), 400, "invalid-event")

    assert pointers == sorted(fault["pointer"] for fault in problem["errors"])  # type: ignore[attr-defined]  # a list
    assert [] == app_feed_events(service, app)
