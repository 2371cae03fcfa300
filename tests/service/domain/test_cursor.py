"""Cursors: told from digits and from event ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.domain.cursor import LOG_NAME_LETTERS, Bare, Cursor, EventId, parse_after

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=LOG_NAME_LETTERS, max_size=LOG_NAME_LETTERS)


@given(cursor=st.builds(Cursor, log=NAMES, position=st.integers(0, 10**18)))
def test_a_written_cursor_is_read_back(cursor: Cursor) -> None:
    """What a page gives out is what the next request means."""
    assert cursor == parse_after(str(cursor))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0", Bare(position=0)),
        ("00000000000000000042", Bare(position=42)),
        ("9" * 40, Bare(position=int("9" * 40))),
        ("abcdefghijkl.7", Cursor(log="abcdefghijkl", position=7)),
        ("abcdefghijkl.", EventId(id="abcdefghijkl.")),
        ("ABCDEFGHIJKL.7", EventId(id="ABCDEFGHIJKL.7")),
        ("short.7", EventId(id="short.7")),
        ("-1", EventId(id="-1")),
        ("٤٢", EventId(id="٤٢")),
        ("", EventId(id="")),
        ("8c4c9a0a-1b7e-4b52-9f16-3d3f0c8f2d11", EventId(id="8c4c9a0a-1b7e-4b52-9f16-3d3f0c8f2d11")),
    ],
)
def test_what_after_means(text: str, meant: Cursor | Bare | EventId) -> None:
    """Digits are a sequence, the cursor's own form a cursor, anything else an event id."""
    assert meant == parse_after(text)
