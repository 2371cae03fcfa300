"""Representation of events: the reduced form for anyone."""

import msgspec

from eventfeed.domain.page_entries import EntryList
from eventfeed.http.reading.representation import public_array, public_json
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


def test_public_array_has_the_public_json_of_each_event() -> None:
    """The array has the events in order."""
    body = b'{"specversion":"1.0","id":"a","source":"x","type":"t","time":"x","data":"secret"}'
    page = EntryList(entry(sequence, of=msgspec.structs.replace(event(), body=body)) for sequence in (1, 2))

    assert [msgspec.json.decode(public_json(each)) for each in page] == msgspec.json.decode(
        b"".join(public_array(page))
    )
