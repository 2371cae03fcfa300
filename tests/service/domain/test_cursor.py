"""Cursors, digits and event ids in the parameter `after`."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from eventfeed.domain.cursor import (
    LOG_NAME_LENGTH,
    PROOF_LENGTH,
    BareSequence,
    Cursor,
    EventId,
    cursor_at,
    cursor_texts,
    parse_after,
    parse_last_event_id,
)
from tests.support.events import entry

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=LOG_NAME_LENGTH, max_size=LOG_NAME_LENGTH)


PROOFS = st.just("") | st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=PROOF_LENGTH, max_size=PROOF_LENGTH)


@given(cursor=st.builds(Cursor, log=NAMES, position=st.integers(0, 10**18), proof=PROOFS))
def test_cursor_survives_formatting_and_parsing(cursor: Cursor) -> None:
    """The cursor of a page is the start of the next request."""
    assert cursor == parse_after(str(cursor))


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("0", BareSequence(position=0)),
        ("00000000000000000042", BareSequence(position=42)),
        ("9" * 40, BareSequence(position=int("9" * 40))),
        ("abcdefghijkl.7", Cursor(log="abcdefghijkl", position=7)),
        ("abcdefghijkl.7.a2b3c4", Cursor(log="abcdefghijkl", position=7, proof="a2b3c4")),
        ("abcdefghijkl.7.", EventId(id="abcdefghijkl.7.")),
        ("abcdefghijkl.7.a2b3c", EventId(id="abcdefghijkl.7.a2b3c")),
        ("abcdefghijkl.7.A2B3C4", EventId(id="abcdefghijkl.7.A2B3C4")),
        ("abcdefghijkl.7.a1b0c9", EventId(id="abcdefghijkl.7.a1b0c9")),
        ("abcdefghijkl.7.a2b3c4.a2b3c4", EventId(id="abcdefghijkl.7.a2b3c4.a2b3c4")),
        ("abcdefghijkl.", EventId(id="abcdefghijkl.")),
        ("ABCDEFGHIJKL.7", EventId(id="ABCDEFGHIJKL.7")),
        ("short.7", EventId(id="short.7")),
        ("-1", EventId(id="-1")),
        ("٤٢", EventId(id="٤٢")),
        ("", EventId(id="")),
        ("8c4c9a0a-1b7e-4b52-9f16-3d3f0c8f2d11", EventId(id="8c4c9a0a-1b7e-4b52-9f16-3d3f0c8f2d11")),
    ],
)
def test_parse_after_recognises_digits_cursors_and_event_ids(text: str, after: Cursor | BareSequence | EventId) -> None:
    """Digits are a sequence, a log name with a position is a cursor, and any other text is an event id."""
    assert after == parse_after(text)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("null", BareSequence(position=0)),
        ("0", BareSequence(position=0)),
        ("00", EventId(id="00")),
        ("42", EventId(id="42")),
        ("9" * 40, EventId(id="9" * 40)),
        ("", EventId(id="")),
        ("abcdefghijkl.7.a2b3c4", Cursor(log="abcdefghijkl", position=7, proof="a2b3c4")),
        ("8c4c9a0a-1b7e-4b52-9f16-3d3f0c8f2d11", EventId(id="8c4c9a0a-1b7e-4b52-9f16-3d3f0c8f2d11")),
    ],
)
def test_parse_last_event_id_reads_digits_as_an_event_id(text: str, after: Cursor | BareSequence | EventId) -> None:
    """A client of HTTP Feeds sends the ids of events. A publisher may number its events."""
    assert after == parse_last_event_id(text)


def test_cursor_at_an_entry_has_its_registration_time() -> None:
    """The time is no part of the text: a cursor that comes back has none."""
    cursor = cursor_at(entry(7, time=12), log="abcdefghijkl")

    assert 12 == cursor.time
    assert 0 == getattr(parse_after(str(cursor)), "time", None)


@pytest.mark.parametrize(
    ("sequence", "time", "write_id", "text"),
    [
        (1, 1_700_000_000_000_000, "a" * 16, "abcdefghijkl.1.gpny3r"),
        (7, 12, "w", "abcdefghijkl.7.chp4ti"),
        (12345678901234567890, 1_764_000_000_123_456, "5f1d0c9b8a7e6f50", "abcdefghijkl.12345678901234567890.5whls4"),
    ],
)
def test_proof_of_an_entry_never_changes(sequence: int, time: int, write_id: str, text: str) -> None:
    """Consumers keep cursors for as long as the events: another proof would refuse them all."""
    present = replace(entry(sequence, time=time), write_id=write_id)

    assert text == str(cursor_at(present, log="abcdefghijkl"))


@given(
    entries=st.lists(
        st.tuples(st.integers(1, 2**64 - 1), st.integers(0, 2**63 - 1), st.text("0123456789abcdef")), max_size=80
    )
)
def test_cursors_of_a_page_have_the_digest_of_each_entry(entries: list[tuple[int, int, str]]) -> None:
    """They are computed together. The proof is the start of a digest in base 32 (RFC 4648 section 6), lower case."""
    texts = []
    for position, time, write_id in entries:
        digest = hashlib.blake2b(f"abcdefghijkl.{position}.{time}.{write_id}".encode(), digest_size=5).digest()
        proof = base64.b32encode(digest).decode().lower()[:PROOF_LENGTH]
        texts.append(f"abcdefghijkl.{position}.{proof}")

    assert texts == cursor_texts(entries, log="abcdefghijkl")
