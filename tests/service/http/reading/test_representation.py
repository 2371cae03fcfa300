"""Representation of events: joined JSON, and the reduced form for anyone."""

import msgspec
import pytest

from eventfeed.http.reading.representation import json_array, public_json
from tests.support.events import entry, event


def test_public_json_has_only_public_members() -> None:
    """The event has six members with their values, and no other."""
    body = b'{"data":{"id":1},"id":"\\u00e5","type":"t","source":"https://x","subject":"/party/1","time":"T","specversion":"1.0"}'
    public = public_json(entry(7, of=msgspec.structs.replace(event(), body=body)))

    assert {
        "specversion": "1.0",
        "id": "å",
        "source": "https://x",
        "type": "t",
        "time": "T",
        "sequence": "00000000000000000007",
    } == msgspec.json.decode(public)


@pytest.mark.parametrize("events", [[b"{}"], [b'{"a":1}', b'{"b":[2]}'], [b"1", b"2", b"3"]])
def test_json_array_holds_the_events_in_order(events: list[bytes]) -> None:
    """Joined JSON equals an array of the parsed events."""
    assert [msgspec.json.decode(each) for each in events] == msgspec.json.decode(json_array(iter(events)))
