"""The position that a reader starts after, for each cursor and each state of the log."""

import pytest

from eventfeed.domain.cursor import After, BareSequence, Cursor, EventId
from eventfeed.domain.errors import CursorOfAnotherLog, InvalidCursor, Refused
from eventfeed.domain.ports import Head
from eventfeed.log.reader import NeedsLookup, start_of

LOG, OTHER_LOG = "a" * 12, "b" * 12
EMPTY = Head(log=LOG, log_start=0, end_offset=0, time=0)
# Entries 1 to 4 have expired.
HEAD = Head(log=LOG, log_start=4, end_offset=9, time=9_000_000)


def cursor(position: int, *, log: str = LOG, proof: str = "") -> Cursor:
    """A cursor of a log, by default of the present one."""
    return Cursor(log=log, position=position, proof=proof)


@pytest.mark.parametrize(
    ("after", "head", "start"),
    [
        (BareSequence(position=0), EMPTY, 0),
        (cursor(0), EMPTY, 0),
        (EventId(id="x"), EMPTY, NeedsLookup.EVENT_ID),
        # Position 0 without a log's name means the oldest entry that is kept.
        (BareSequence(position=0), HEAD, 4),
        (BareSequence(position=4), HEAD, 4),
        (BareSequence(position=5), HEAD, 5),
        (BareSequence(position=9), HEAD, 9),
        (cursor(4), HEAD, 4),
        (cursor(5), HEAD, 5),
        (cursor(9), HEAD, 9),
        # Entries after these positions have expired.
        (BareSequence(position=1), HEAD, NeedsLookup.EXPIRED),
        (BareSequence(position=3), HEAD, NeedsLookup.EXPIRED),
        (cursor(0), HEAD, NeedsLookup.EXPIRED),
        (cursor(3), HEAD, NeedsLookup.EXPIRED),
        (EventId(id="x"), HEAD, NeedsLookup.EVENT_ID),
    ],
)
def test_start_is_a_position_or_needs_a_lookup(after: After, head: Head, start: int | NeedsLookup) -> None:
    """Only an event id, and an expired cursor, need the store."""
    assert start == start_of(after, head)


@pytest.mark.parametrize(
    ("after", "head", "refusal"),
    [
        (BareSequence(position=1), EMPTY, InvalidCursor),
        (cursor(1), EMPTY, InvalidCursor),
        (BareSequence(position=10), HEAD, InvalidCursor),
        (cursor(10), HEAD, InvalidCursor),
        # Only a log that had this entry has given out its proof.
        (cursor(10, proof="a2b3c4"), HEAD, CursorOfAnotherLog),
        # The name of the log counts before the position.
        (cursor(0, log=OTHER_LOG), EMPTY, CursorOfAnotherLog),
        (cursor(3, log=OTHER_LOG), HEAD, CursorOfAnotherLog),
        (cursor(5, log=OTHER_LOG), HEAD, CursorOfAnotherLog),
        (cursor(10, log=OTHER_LOG), HEAD, CursorOfAnotherLog),
    ],
)
def test_start_after_an_unknown_position_is_rejected(after: After, head: Head, refusal: type[Refused]) -> None:
    """The message of the error names the present log."""
    with pytest.raises(refusal, match=LOG):
        start_of(after, head)
