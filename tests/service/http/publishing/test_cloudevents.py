"""Bytes of a publish: what they mean, and every fault in them at once."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.domain.errors import InvalidEvent, TooLarge
from eventfeed.domain.event import EVENT_BYTES_MAX, Event
from eventfeed.http.publishing.cloudevents import EventDefaults, binary_event, parse_events, sent

SOURCE = "https://ttd.apps.example.no/ttd/bolig/instances/50000001/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c"
VALID: dict[str, object] = {
    "id": "1",
    "source": SOURCE,
    "specversion": "1.0",
    "type": "t",
    "subject": "/party/1",
    "time": "2026-01-31T12:00:00Z",
}


def read(body: bytes, *, from_app: bool = False) -> list[Event]:
    """The events of a body."""
    numbers = itertools.count(1)
    return list(
        parse_events(sent(body, batch=None), EventDefaults(lambda: f"new-{next(numbers)}", 0), from_app=from_app)
    )


def text(**changes: object) -> bytes:
    """A valid event with changes; None takes an attribute away."""
    return msgspec.json.encode({name: value for name, value in {**VALID, **changes}.items() if value is not None})


def test_an_event_is_stored_as_published() -> None:
    """Members keep their order and numbers their spelling; only white space between them goes."""
    source = SOURCE.encode()
    body = (
        b'{ "type":"t", "data":{"a": 1.10},"specversion":"1.0","id":"1" ,"time":"2026-01-31T12:00:00Z",\n"source":"%b"}'
    )
    kept = b'{"type":"t","data":{"a":1.10},"specversion":"1.0","id":"1","time":"2026-01-31T12:00:00Z","source":"%b"}'
    (event,) = read(body % source)

    assert kept % source == event.body


def test_what_is_absent_is_given() -> None:
    """An app's event without id and time gets both; null is absent."""
    (event,) = read(b'{"id":null,%b' % text(id=None, time=None)[1:], from_app=True)
    stored = msgspec.json.decode(event.body)

    assert ("new-1", "new-1", "1970-01-01T00:00:00.000000Z") == (event.identity.id, stored["id"], stored["time"])


def test_a_cloud_event_needs_an_id() -> None:
    """Only an app's event may lack it."""
    with pytest.raises(InvalidEvent) as refused:
        read(text(id=None))

    assert ["/id"] == [fault.pointer for fault in refused.value.faults]


def test_content_is_compared_as_sent() -> None:
    """The order of members and white space make no other content; what is filled in does not count; data does."""
    (one,) = read(text(time=None), from_app=True)
    (same,) = read(b" " + msgspec.json.encode(dict(reversed(msgspec.json.decode(text(time=None)).items()))))
    (other,) = read(text(time=None, data=1))

    assert one.content == same.content != other.content


def test_a_member_given_twice_has_one_value() -> None:
    """What is checked is what is stored: of two members with one name the last counts, and alone is kept."""
    (event,) = read(b'{"source":"https://evil/skd/a",%b' % text()[1:])

    assert SOURCE == event.identity.source
    assert b"evil" not in event.body


def test_every_fault_of_every_event_is_named() -> None:
    """A batch is validated whole; each fault has its JSON pointer."""
    body = b"[%b]" % b",".join([text(type=""), text(), b"7", text(sequence="1", subject="/party/x")])
    with pytest.raises(InvalidEvent) as refused:
        read(body)

    assert ["/0/type", "/2", "/3/subject", "/3/sequence"] == [fault.pointer for fault in refused.value.faults]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"7",
        b"{",
        b"[",
        b"[]",
        b"[{]",
        b'"text"',
        b"\xff",
        b"\xef\xbb\xbf{}",
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
def test_what_is_no_event_is_refused(body: bytes) -> None:
    """Broken JSON of any kind is the publisher's fault, never ours."""
    with pytest.raises(InvalidEvent) as refused:
        read(body)

    assert refused.value.faults


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"[0.5,1e400]"])
def test_a_number_that_no_reader_can_hold_is_refused(number: bytes) -> None:
    """An event that is otherwise valid must not be one that its readers choke on."""
    valid = b'{"specversion":"1.0","id":"a","source":"https://a.example.no/x","type":"t","data":%b}'
    read(valid % b"1e99")
    with pytest.raises(InvalidEvent):
        read(valid % number)


@given(body=st.binary(max_size=50))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """No bytes make anything but an event or a refusal."""
    with pytest.raises((InvalidEvent, TooLarge)):
        read(body)


@pytest.mark.parametrize(("batch", "body"), [(True, b"{}"), (False, b"[]")])
def test_the_media_type_decides_between_one_and_many(body: bytes, *, batch: bool) -> None:
    """An array where an object was announced is refused, and the reverse."""
    with pytest.raises(InvalidEvent):
        sent(body, batch=batch)


def test_an_event_may_have_its_full_weight() -> None:
    """64 KiB as sent is allowed, a byte more is not, and the heavy one is named."""
    room = EVENT_BYTES_MAX - len(text(data=""))
    full, over = text(data="x" * room), text(data="x" * (room + 1))
    with pytest.raises(TooLarge) as refused:
        sent(b"[%b,%b]" % (full, over), batch=True)

    assert 1 == len(read(full))
    assert ["/1"] == [fault.pointer for fault in refused.value.faults]


def test_a_request_holds_a_hundred_events() -> None:
    """A hundred are allowed, one more is not."""
    with pytest.raises(TooLarge):
        sent(b"[%b]" % b",".join([b"{}"] * 101), batch=True)

    assert 100 == len(sent(b"[%b]" % b",".join([b"{}"] * 100), batch=True).texts)


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("application/json", b'{"a": 1.0}', b'"data":{"a":1.0}'),
        ("application/vnd.ttd+json; charset=utf-8", b"[1]", b'"data":[1]'),
        ("text/plain", "blåbær".encode(), '"data":"blåbær"'.encode()),
        ("text/plain; charset=latin-1", "blåbær".encode("latin-1"), b'"data_base64":"YmzlYuZy"'),
        ("application/octet-stream", b"\x00\x01", b'"data_base64":"AAE="'),
    ],
)
def test_binary_mode_carries_the_data_as_the_body(content_type: str, body: bytes, data: bytes) -> None:
    """Attributes come as headers, percent-encoded where they must be; JSON stays JSON, bytes become base64."""
    headers = {"ce-id": "%C3%A6", "ce-source": SOURCE, "ce-type": "t", "ce-specversion": "1.0", "host": "x"}
    events = binary_event(body, [*headers.items(), ("content-type", content_type)])
    (event,) = parse_events(events, EventDefaults(lambda: "", 0), from_app=False)

    assert "æ" == event.identity.id
    assert data in event.body
    assert b'"datacontenttype":"%b"' % content_type.encode() in event.body


def test_binary_mode_without_a_body_has_no_data() -> None:
    """An event need not carry data."""
    headers = {"ce-id": "1", "ce-source": SOURCE, "ce-type": "t", "ce-specversion": "1.0"}
    (event,) = parse_events(binary_event(b"", headers.items()), EventDefaults(lambda: "", 0), from_app=False)

    assert b"data" not in event.body


def test_broken_data_is_named() -> None:
    """A body that is not what its type says is refused."""
    with pytest.raises(InvalidEvent) as refused:
        binary_event(b"{", [("content-type", "application/json"), ("ce-id", "1")])

    assert ["/data"] == [fault.pointer for fault in refused.value.faults]
