"""Bytes of a publish: the events in them, and all of their faults."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.domain.cloudevents import EVENT_BYTES_MAX, STORED_BYTES_MAX
from eventfeed.domain.errors import InvalidEvent, TooLarge
from eventfeed.domain.event import App, Event
from eventfeed.domain.moment import format_moment
from eventfeed.http.publishing.cloudevents import EventDefaults, binary_event, json_events, parse_events

SOURCE = "https://ttd.apps.example.no/ttd/bolig/instances/50000001/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c"
PREFIX = SOURCE.partition("/50000001/")[0]
VALID: dict[str, object] = {
    "id": "1",
    "source": SOURCE,
    "specversion": "1.0",
    "type": "t",
    "subject": "/party/1",
    "time": "2026-01-31T12:00:00Z",
}


def parse(body: bytes, *, from_app: bool = False) -> list[Event]:
    """The events of a body."""
    numbers = itertools.count(1)
    defaults = EventDefaults(lambda: f"new-{next(numbers)}", 0, format_moment(0))
    return list(parse_events(json_events(body, batch=None), defaults, from_app=from_app))


def text(**changes: object) -> bytes:
    """A valid event with changes; None removes an attribute."""
    return msgspec.json.encode({name: value for name, value in {**VALID, **changes}.items() if value is not None})


def test_event_is_stored_as_the_publisher_wrote_it() -> None:
    """Members keep their order and numbers their spelling. Only white space is removed, and additions come last."""
    source = SOURCE.encode()
    body = (
        b'{ "type":"t", "data":{"a": 1.10},"specversion":"1.0","id":"1" ,"time":"2026-01-31T12:00:00Z",\n"source":"%b"}'
    )
    stored_body = (
        b'{"type":"t","data":{"a":1.10},"specversion":"1.0","id":"1","time":"2026-01-31T12:00:00Z","source":"%b"}'
    )
    (event,) = parse(body % source)

    assert event.body.startswith(stored_body[:-1] % source)
    assert {"resource", "resourceinstance"} == msgspec.json.decode(event.body).keys() - msgspec.json.decode(
        body % source
    ).keys()


def test_app_event_without_id_and_time_gets_defaults() -> None:
    """An attribute with the value null is absent."""
    (event,) = parse(b'{"id":null,%b' % text(id=None, time=None)[1:], from_app=True)
    members = msgspec.json.decode(event.body)

    assert ("new-1", "new-1", "1970-01-01T00:00:00.000000Z") == (event.identity.id, members["id"], members["time"])


@pytest.mark.parametrize("from_app", [True, False])
@pytest.mark.parametrize("value", [{}, {"resource": None}, {"resourceinstance": None}])
def test_event_of_an_app_gets_the_resource_and_instance_of_its_source(
    value: dict[str, str | None], *, from_app: bool
) -> None:
    """This holds on both routes. An attribute with the value null is absent."""
    guid = SOURCE.rpartition("/")[2].upper()
    body = msgspec.json.encode({**VALID, "source": f"{PREFIX}/50000001/{guid}", **value})
    (event,) = parse(body, from_app=from_app)
    members = msgspec.json.decode(event.body)

    assert "urn:altinn:resource:app_ttd_bolig" == members["resource"] == event.resource
    assert f"50000001/{guid}" == members["resourceinstance"]


def test_resource_and_instance_from_the_publisher_are_kept() -> None:
    """They occur once, where the publisher wrote them, also for a resource of no app."""
    resource = "urn:altinn:resource:app_ttd_bolig"
    (of_app,) = parse(text(resource=resource, resourceinstance=SOURCE.partition("/instances/")[2], ext="x"))
    (other,) = parse(text(source="https://host/skd/x", resource="urn:altinn:resource:other"))

    assert 1 == of_app.body.count(b'"resource":') == of_app.body.count(b'"resourceinstance":')
    assert of_app.body.index(b'"resource":') < of_app.body.index(b'"ext":')
    assert "resourceinstance" not in msgspec.json.decode(other.body)


def test_added_attributes_are_no_part_of_the_content() -> None:
    """An event that came without them is repeated without them. With them it is another event, as before."""
    (first, repeat) = (parse(text())[0] for _ in range(2))
    (other,) = parse(text(resource="urn:altinn:resource:app_ttd_bolig"))

    assert first.content == repeat.content != other.content


def test_app_and_instance_are_those_of_the_source_or_else_of_the_resource() -> None:
    """The source of an app decides both, also without these attributes. The guid is in lower case."""
    guid = SOURCE.rpartition("/")[2]
    (of_source,) = parse(text(source=f"{PREFIX}/50000001/{guid.upper()}"))
    (of_resource,) = parse(
        text(
            source="https://host/skd/x",
            resource="urn:altinn:resource:app_skd_a_b",
            resourceinstance=f"1/{guid.upper()}",
        )
    )
    (other,) = parse(text(source="https://host/skd/x", resource="urn:altinn:resource:other"))

    assert (App(org="ttd", name="bolig"), guid) == (of_source.app, of_source.instance)
    assert "urn:altinn:resource:app_ttd_bolig" == of_source.resource
    assert (App(org="skd", name="a_b"), guid) == (of_resource.app, of_resource.instance)
    assert (None, None, "urn:altinn:resource:other") == (other.app, other.instance, other.resource)


def test_cloud_event_without_an_id_is_refused() -> None:
    """Only an event of an app may lack its id."""
    with pytest.raises(InvalidEvent) as refusal:
        parse(text(id=None))

    assert ["/id"] == [fault.pointer for fault in refusal.value.faults]


def test_content_depends_on_the_attributes_of_the_publisher() -> None:
    """The order of members, white space and defaults do not change it. Data does."""
    (one,) = parse(text(time=None), from_app=True)
    (same,) = parse(b" " + msgspec.json.encode(dict(reversed(msgspec.json.decode(text(time=None)).items()))))
    (other,) = parse(text(time=None, data=1))

    assert one.content == same.content != other.content


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        (b'"id":"2"', "/id"),
        (b'"subject":null', "/subject"),
        (b'"data":{"a":1,"a":2}', "/data/a"),
        (b'"data":[{"a":1.5,"a":1.5}]', "/data/0/a"),
        (b'"x":1,"x":1', "/x"),
        (b'"data":{"a":1,"\\u0061":2,"b":"\\u003a"}', "/data/a"),
        (b'"data_base64":"eA==","data_base64":"eQ=="', "/data_base64"),
    ],
)
def test_repeated_member_is_refused_by_its_pointer(members: bytes, pointer: str) -> None:
    """RFC 7493 §2.3: which one counts would depend on the reader."""
    with pytest.raises(InvalidEvent) as refusal:
        parse(b"[%b,{%b,%b]" % (text(id="0"), members, text()[1:]))

    assert [f"/1{pointer}"] == [fault.pointer for fault in refusal.value.faults]


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf%b" % text(), text().decode().encode("utf-16")])
def test_byte_order_mark_is_named(body: bytes) -> None:
    """The message says what to send instead."""
    with pytest.raises(InvalidEvent, match="byte order mark"):
        parse(body)


def test_empty_batch_has_no_events() -> None:
    """CloudEvents JSON format 1.0.2 §4.2: a batch may be empty."""
    assert [] == parse(b"[]")
    assert json_events(b" [ ] ", batch=True).batch


def test_refusal_points_to_every_fault_of_every_event() -> None:
    """All events of a batch are validated. Each fault has its JSON pointer."""
    body = b"[%b]" % b",".join([text(type=""), text(), b"7", text(sequence="1", subject="/party/x")])
    with pytest.raises(InvalidEvent) as refusal:
        parse(body)

    assert ["/0/type", "/2", "/3/subject", "/3/sequence"] == [fault.pointer for fault in refusal.value.faults]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"7",
        b"{",
        b"[",
        b"[{]",
        b'"text"',
        b"\xff",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"data":"\xff"}',
        b'[{"data":"\xff"}]',
        b'{"data":"\\ud800"}',
        b'{"data":NaN}',
        b'{"data":1e999}',
        b'{"data":' + b"[" * 60_000,
        b'{"data":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001,
        b"[" * 60_000,
    ],
)
def test_body_that_is_no_event_is_refused(body: bytes) -> None:
    """Every kind of invalid JSON leads to a refusal with faults."""
    with pytest.raises(InvalidEvent) as refusal:
        parse(body)

    assert refusal.value.faults


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"[0.5,1e400]"])
def test_number_that_no_reader_can_hold_is_refused(number: bytes) -> None:
    """Readers could not parse the event."""
    valid = b'{"specversion":"1.0","id":"a","source":"https://a.no/x","resource":"urn:a1:x","type":"t","data":%b}'
    parse(valid % b"1e99")
    with pytest.raises(InvalidEvent):
        parse(valid % number)


@given(body=st.binary(max_size=50).filter(lambda body: body.translate(None, b" \t\r\n\v\f") != b"[]"))
def test_random_bytes_are_refused_as_events(body: bytes) -> None:
    """No bytes cause another exception. An empty batch is valid."""
    with pytest.raises((InvalidEvent, TooLarge)):
        parse(body)


@pytest.mark.parametrize(("batch", "body"), [(True, b"{}"), (False, b"[]")])
def test_body_of_another_form_than_its_media_type_is_refused(body: bytes, *, batch: bool) -> None:
    """The body is an array for a single event, or an object for a batch."""
    with pytest.raises(InvalidEvent):
        json_events(body, batch=batch)


def test_event_over_64_kib_is_refused_by_its_pointer() -> None:
    """An event of exactly 64 KiB is accepted."""
    data_bytes = EVENT_BYTES_MAX - len(text(data=""))
    largest_event, larger_event = text(data="x" * data_bytes), text(data="x" * (data_bytes + 1))
    with pytest.raises(TooLarge) as refusal:
        json_events(b"[%b,%b]" % (largest_event, larger_event), batch=True)

    assert 1 == len(parse(largest_event))
    assert ["/1"] == [fault.pointer for fault in refusal.value.faults]


def test_request_with_101_events_is_refused() -> None:
    """A request with 100 events is accepted."""
    with pytest.raises(TooLarge):
        json_events(b"[%b]" % b",".join([b"{}"] * 101), batch=True)

    assert 100 == len(json_events(b"[%b]" % b",".join([b"{}"] * 100), batch=True).texts)


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("application/json", b'{"a": 1.0}', b'"data":{"a":1.0}'),
        ("application/vnd.ttd+json; charset=utf-8", b"[1]", b'"data":[1]'),
        ("text/x+json", b'{"a":1}', b'"data":{"a":1}'),
        ("IMAGE/JSON", b"[1]", b'"data":[1]'),
        ("text/plain", "blåbær".encode(), '"data":"blåbær"'.encode()),
        ("text/plain", b"\x01\x01\x01\x01\x01\x01", b'"data_base64":"AQEBAQEB"'),
        ("text/plain; charset=us-ascii", b"blue", b'"data":"blue"'),
        ("text/plain; charset=utf8", "ø".encode(), '"data":"ø"'.encode()),
        ("text/plain; format=flowed", b"blue", b'"data":"blue"'),
        ("text/plain; charset=latin-1", "blåbær".encode("latin-1"), b'"data_base64":"YmzlYuZy"'),
        ("application/octet-stream", b"\x00\x01", b'"data_base64":"AAE="'),
    ],
)
def test_binary_mode_reads_attributes_from_headers_and_data_from_the_body(
    content_type: str, body: bytes, data: bytes
) -> None:
    """Headers may be percent-encoded. JSON and text stay as they are, and other bytes become base64."""
    headers = {"ce-id": "%C3%A6", "ce-source": SOURCE, "ce-type": "t", "ce-specversion": "1.0", "host": "x"}
    events = binary_event(body, [*headers.items(), ("content-type", content_type)])
    (event,) = parse_events(events, EventDefaults(lambda: "", 0, format_moment(0)), from_app=False)

    assert "æ" == event.identity.id
    assert data in event.body
    assert b'"datacontenttype":"%b"' % content_type.encode() in event.body


def test_binary_event_without_a_body_has_no_data() -> None:
    """Data is optional."""
    headers = {"ce-id": "1", "ce-source": SOURCE, "ce-type": "t", "ce-specversion": "1.0"}
    (event,) = parse_events(
        binary_event(b"", headers.items()), EventDefaults(lambda: "", 0, format_moment(0)), from_app=False
    )

    assert b"data" not in event.body


def test_binary_event_with_invalid_data_is_refused() -> None:
    """The body must have the form of its media type."""
    with pytest.raises(InvalidEvent) as refusal:
        binary_event(b"{", [("content-type", "application/json"), ("ce-id", "1")])

    assert ["/data"] == [fault.pointer for fault in refusal.value.faults]


def of_binary(body: bytes, content_type: str, **attributes: str) -> Event:
    """The event of a request in binary mode."""
    headers = {"ce-id": "1", "ce-source": SOURCE, "ce-type": "t", "ce-specversion": "1.0", "ce-subject": "/party/1"}
    lines = [*headers.items(), *((f"ce-{name}", value) for name, value in attributes.items())]
    events = binary_event(body, [*lines, ("content-type", content_type)] if content_type else lines)
    (event,) = parse_events(events, EventDefaults(lambda: "", 0, format_moment(0)), from_app=False)
    return event


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ('"a b"', "a b"),
        ("a b", "a b"),
        ('"a \\" b"', 'a " b'),
        ('"a%20b"', "a b"),
        ("%22a%22", '"a"'),
        ("%2520", "%20"),
        ('a "b"', 'a "b"'),
        ('""', ""),
        ('"open', '"open'),
        ("%C3%A6", "æ"),
    ],
)
def test_header_value_is_unquoted_and_then_decoded_once(header: str, value: str) -> None:
    """HTTP binding 1.0.2 §3.1.3.2. Quotes inside of a value, and encoded ones, belong to it."""
    assert value == msgspec.json.decode(of_binary(b"", "", ext=header).body)["ext"]


@pytest.mark.parametrize("value", ["a%ZZ", '"a%ZZ"', "50 %", "ø", "%ff"])
@pytest.mark.parametrize("name", ["ext", "subject", "id", "source"])
def test_header_value_that_cannot_be_decoded_is_refused(name: str, value: str) -> None:
    """The header is named, whichever attribute it has."""
    headers = {f"ce-{each}": str(text) for each, text in VALID.items()} | {f"ce-{name}": value}
    with pytest.raises(InvalidEvent, match=f"The header ce-{name} is not ASCII") as refusal:
        binary_event(b"", headers.items())

    assert [f"/{name}"] == [fault.pointer for fault in refusal.value.faults]


def test_binary_event_is_measured_as_it_came() -> None:
    """60 KiB of octets are accepted, although their base64 is longer. Headers count too."""
    stored = of_binary(b"\xff" * 60 * 1024, "application/octet-stream").body
    with pytest.raises(TooLarge):
        of_binary(b"\xff" * 64 * 1024, "application/octet-stream")
    with pytest.raises(TooLarge):
        of_binary(b"\xff" * 60 * 1024, "application/octet-stream", ext="x" * 5_000)

    assert len(stored) > EVENT_BYTES_MAX


@pytest.mark.parametrize("character", ["\x01", '"', "\\", "ø", "\xff"])
def test_stored_event_is_at_most_twice_as_large(character: str) -> None:
    """The bound of a page depends on it."""
    content = character.encode() * (63 * 1024 // len(character.encode()))
    sizes = [len(of_binary(content, content_type).body) for content_type in ("text/plain", "x/y", "")]
    quoted = len(of_binary(b"", "", ext=("%22" if character == '"' else "x") * (63 * 1024 // 3)).body)

    assert max(*sizes, quoted) <= STORED_BYTES_MAX


def test_added_attributes_are_within_the_size_of_a_stored_event() -> None:
    """The longest names of organisation and app, with every attribute that the service adds."""
    source = f"https://a.no/{'o' * 200}/{'a' * 200}/instances/{'9' * 10}/{SOURCE.rpartition('/')[2]}"
    sent = text(source=source, id=None, time=None)
    defaults = EventDefaults(lambda: "0" * 36, 0, format_moment(0), traceparent=f"00-{'1' * 32}-{'2' * 16}-01")
    (event,) = parse_events(json_events(sent, batch=None), defaults, from_app=True)
    added = msgspec.json.decode(event.body).keys() - msgspec.json.decode(sent).keys()

    assert {"id", "time", "resource", "resourceinstance", "traceparent"} == added
    assert len(event.body) - len(sent) <= STORED_BYTES_MAX - 2 * EVENT_BYTES_MAX


@pytest.mark.parametrize(
    ("extra", "body", "content_type", "headers"),
    [
        ({"ext": 5}, b"", "", {"ext": "5"}),
        ({"ext": "5"}, b"", "", {"ext": "5"}),
        ({"ext": True, "other": False}, b"", "", {"ext": "true", "other": "false"}),
        ({"data": {"a": [1, 1.5, None]}}, b'{ "a": [1, 1.5, null] }', "application/json", {}),
        ({"data": 1, "datacontenttype": "application/json"}, b"1", "application/json; charset=utf-8", {}),
        ({"data": "x", "datacontenttype": "text/plain"}, b"x", "text/plain", {}),
        ({"data": "<a/>", "datacontenttype": "application/xml"}, b"<a/>", "application/xml", {}),
        ({"data_base64": "PGEvPg==", "datacontenttype": "application/xml"}, b"<a/>", "application/xml", {}),
        ({"data_base64": "/w==", "datacontenttype": "image/png"}, b"\xff", "image/png", {}),
        ({"data_base64": "eyJhIjoxfQ==", "datacontenttype": "text/json"}, b'{"a":1}', "text/json", {}),
    ],
)
def test_event_in_another_mode_has_the_same_content(
    extra: dict[str, object], body: bytes, content_type: str, headers: dict[str, str]
) -> None:
    """An event sent again in another mode is a repeat. The first one is stored as it came."""
    (structured,) = parse(text(time=None, **extra))

    assert structured.content == of_binary(body, content_type, **headers).content


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"ext": 5}, {"ext": "05"}),
        ({"ext": True}, {"ext": "True"}),
        ({"data": 1}, {"data": "1"}),
        ({"data": True}, {"data": "true"}),
        ({"data": 1}, {"data": 1, "datacontenttype": "text/plain"}),
        ({"data": "eA=="}, {"data_base64": "eA=="}),
        ({"data": None}, {}),
    ],
)
def test_other_content_remains_other_content(one: dict[str, object], other: dict[str, object]) -> None:
    """Data keeps its types, and its content type counts."""
    bodies = [msgspec.json.encode({**msgspec.json.decode(text()), **changes}) for changes in (one, other)]

    assert 2 == len({parse(body)[0].content for body in bodies})
