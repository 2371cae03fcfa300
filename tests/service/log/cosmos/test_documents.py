"""Documents of commits in Cosmos DB: cut by size, complete, and broken in any way."""

import base64
import zlib
from collections.abc import Callable, Mapping, Sequence

import msgspec
import pytest
from msgspec.structs import replace

from eventfeed.domain.event import Entry, Event
from eventfeed.log.cosmos.damage import DamagedAt
from eventfeed.log.cosmos.database import Document
from eventfeed.log.cosmos.documents import COMMIT_BYTES_MAX, COMMIT_ENTRIES_MAX, commit_documents, commit_of
from tests.support.events import entries, entry, event

SEGMENT_ENTRIES = 1_000


def documents_of(batch: Sequence[Entry]) -> list[Document]:
    """The documents of a batch."""
    return list(commit_documents(batch, segment_entries=SEGMENT_ENTRIES))


def entries_of(documents: Sequence[Document]) -> list[Entry]:
    """The entries of documents, in order."""
    return [each for document in documents for each in commit_of(document, segment_entries=SEGMENT_ENTRIES).entries]


@pytest.mark.parametrize("original_event", [event(), event(app=None), event(app=None, resource="urn:x")])
def test_entry_returns_from_its_commit_unchanged(original_event: Event) -> None:
    """Members that an event lacks stay absent."""
    original = entry(1, of=original_event)

    assert [original] == entries_of(documents_of([original]))


def test_entries_of_an_import_keep_their_times_and_write_ids() -> None:
    """The entries of one commit may have different ones; its time is that of the last entry."""
    batch = [entry(number, time=number * 7, write_id=f"row-{number % 3}") for number in range(5, 9)]
    (document,) = documents_of(batch)

    assert batch == entries_of([document])
    assert (56, "row-2") == (document["time"], document["write_id"])


def test_commit_has_each_term_of_its_events_once() -> None:
    """An event is found by its values; those of all its events are in one list."""
    batch = [entry(1, of=event("a", instance=1)), entry(2, of=event("b", instance=1, type_="other"))]
    (document,) = documents_of(batch)

    assert ["ttd/bolig"] == document["apps"]
    assert ["instance.created", "other"] == document["types"]
    assert [["a", "b"], ["/party/50000001"]] == [document["event_ids"], document["subjects"]]
    assert [1, 1, 2] == [len(document[name]) for name in ("instances", "resources", "identities")]


@pytest.mark.parametrize(
    ("first", "count", "cut"),
    [(1, 500, [500]), (1, 501, [500, 1]), (990, 20, [10, 10]), (999, 2, [1, 1]), (1_000, 1, [1])],
)
def test_batch_is_cut_by_number_and_at_segments(first: int, count: int, cut: list[int]) -> None:
    """A commit is within one segment, and has at most 500 entries."""
    documents = documents_of(entries(first, first + count - 1))

    assert cut == [each["last"] - each["first"] + 1 for each in documents]
    assert [each["first"] // SEGMENT_ENTRIES for each in documents] == [each["segment"] for each in documents]


@pytest.mark.parametrize(
    "text", ["x", "ø", '\\"', "\\u0001", ""], ids=["plain", "not ascii", "quotes", "controls", "random"]
)
def test_document_of_large_events_is_below_the_limit_of_the_store(text: str) -> None:
    """A document has at most 1.5 MB, also if its events do not get smaller; the rest of a batch is cut the same way."""
    noise = base64.b64encode(zlib.compress(bytes(range(256)) * 200)).decode()
    digits = "".join(event(str(number)).identity.digest().hex() for number in range(900))
    body = ('{"data":"' + (text * (57_000 // len(text.encode())) if text else digits + noise[:100]) + '"}').encode()
    batch = [
        entry(number, of=replace(event(), body=body[:9] + str(number).encode() + body[9:])) for number in range(1, 101)
    ]
    documents = documents_of(batch)

    assert max(len(msgspec.json.encode(each)) for each in documents) <= 1_500_000
    assert batch == entries_of(documents)
    assert documents[1:] == documents_of(batch[documents[0]["last"] :])


def test_event_of_any_size_makes_a_commit() -> None:
    """A commit has at least one entry."""
    batch = [entry(1, of=event(size=COMMIT_BYTES_MAX - 1_000)), entry(2, of=event(size=1_000))]

    assert [1, 1] == [each["last"] - each["first"] + 1 for each in documents_of(batch)]


def compress(value: object) -> str:
    """Return the text of the rows of a commit."""
    return base64.b64encode(zlib.compress(msgspec.msgpack.encode(value))).decode()


DAMAGE: Mapping[str, Callable[[Document], Mapping[str, object]]] = {
    "no events": lambda _: {"events": None},
    "events of another type": lambda _: {"events": 7},
    "no base64": lambda _: {"events": "!"},
    "base64 of other data": lambda _: {"events": "AAAA"},
    "cut off": lambda document: {"events": document["events"][:-8]},
    "with more behind": lambda document: {"events": base64.b64encode(base64.b64decode(document["events"]) + b"x")},
    "rows of another form": lambda _: {"events": compress([[1, 2, 3]] * 3)},
    "no rows": lambda _: {"events": compress([])},
    "endless rows": lambda _: {"events": compress([b"x" * 50 * COMMIT_BYTES_MAX])},
    "another end": lambda document: {"last": document["last"] + 1},
    "an end before the first": lambda document: {"last": document["first"] - 1},
    "an end far away": lambda document: {"last": document["first"] + COMMIT_ENTRIES_MAX},
    "another first": lambda document: {"first": document["first"] + 1},
    "another id": lambda document: {"id": f"{document['first'] + 1:020d}"},
    "a text as id": lambda _: {"id": "copy"},
    "another segment": lambda document: {"segment": document["segment"] + 1},
    "a text as position": lambda _: {"first": "41"},
    "no time": lambda _: {"time": None},
    "no write id": lambda _: {"write_id": None},
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_commit_is_named_by_its_position(kind: str) -> None:
    """The failure has a position, and no document takes all memory."""
    (document,) = documents_of(entries(41, 43))
    change = DAMAGE[kind](document)
    broken = {name: value for name, value in {**document, **change}.items() if value is not None}
    broken = {name: value.decode() if isinstance(value, bytes) else value for name, value in broken.items()}

    with pytest.raises(DamagedAt, match=r"at sequence 4[0-9]: ") as failure:
        commit_of(broken, segment_entries=SEGMENT_ENTRIES)
    assert failure.value.position in range(41, 45)


@pytest.mark.parametrize(
    "document",
    [{}, {"id": "x"}, {"first": "9" * 5_000}, {"first": None, "last": [], "id": {}}, {"first": -1}, {"first": 10**30}],
    ids=["empty", "id", "long number", "other types", "negative", "large"],
)
def test_foreign_document_without_a_position_is_damage_at_0(document: Document) -> None:
    """It names no place, in any form."""
    with pytest.raises(DamagedAt, match="at sequence 0: a document is no commit"):
        commit_of(document, segment_entries=SEGMENT_ENTRIES)


def test_row_that_no_event_has_is_damage() -> None:
    """The rows are checked by the types of their members."""
    (document,) = documents_of([entry(41)])
    rows = msgspec.msgpack.decode(zlib.decompress(base64.b64decode(document["events"])))
    rows[0][2] = 5

    with pytest.raises(DamagedAt, match="unreadable"):
        commit_of({**document, "events": compress(rows)}, segment_entries=SEGMENT_ENTRIES)
