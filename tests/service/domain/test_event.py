"""Identities of events, entries as JSON, and markers."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from eventfeed.domain.event import MARKER_TYPE, Identity, marker
from tests.support.events import entry, event

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@given(first=st.tuples(st.text(), st.text()), second=st.tuples(st.text(), st.text()))
def test_identities_with_another_source_or_id_have_other_digests(
    first: tuple[str, str], second: tuple[str, str]
) -> None:
    """No two pairs of source and id share a digest, wherever the boundary between them is."""
    one, other = (Identity(source=source, id=id_) for source, id_ in (first, second))

    assert (one == other) is (one.digest() == other.digest())


def test_json_of_an_entry_is_the_published_event_with_its_sequence() -> None:
    """The sequence has 20 digits, and the length is known before the JSON exists."""
    entry_42 = entry(42)
    members = msgspec.json.decode(entry_42.json, type=dict[str, object])

    assert "00000000000000000042" == members.pop("sequence")
    assert msgspec.json.decode(entry_42.event.body) == members
    assert len(entry_42.json) == entry_42.json_length


def test_traceparent_of_an_entry_is_the_one_in_its_event() -> None:
    """An event without the attribute has none."""
    body = b'{"id":"x","traceparent":"%b"}' % TRACEPARENT.encode()
    traced_entry = entry(1, of=msgspec.structs.replace(event(), body=body))

    assert (TRACEPARENT, "") == (traced_entry.traceparent, entry(2).traceparent)


def test_marker_is_a_valid_event_without_app_subject_and_resource() -> None:
    """The name of a marker is its id, and markers with different names are different events."""
    one, other = marker("x"), marker("y")

    assert ("x", MARKER_TYPE, "x") == (one.identity.id, one.type, msgspec.json.decode(one.body)["id"])
    assert (None, None, None, None) == (one.app, one.subject, one.resource, one.instance)
    assert one.content != other.content


@pytest.mark.parametrize(
    ("future_time", "time"),
    [
        (None, "2099-01-31T12:00:00.5+01:00"),
        (4_073_540_400_500_000, "1970-01-01T00:00:01.000000Z"),
        (1_000_001, "1970-01-01T00:00:01.000000Z"),
        # The registration came after the time that the event claims.
        (1_000_000, "2099-01-31T12:00:00.5+01:00"),
    ],
)
def test_time_after_the_registration_is_restated(future_time: int | None, time: str) -> None:
    """Nothing else changes, neither the order nor the spelling of the other members."""
    body = b'{"id":"a","time":"2099-01-31T12:00:00.5+01:00","data":1.50}'
    arrived = replace(event("a"), body=body, future_time=future_time)
    stored = arrived.registered(1_000_000)

    assert b'{"id":"a","time":"%b","data":1.50}' % time.encode() == stored.body
    assert replace(arrived, body=stored.body, future_time=None) == stored
