"""Cursors: positions in one log, as consumers keep them.

The proof in a cursor comes from the entry at its position. If a store was restored from an older copy, other entries
take the positions of the lost ones, and the proofs of earlier cursors no longer fit.
"""

import functools
import hashlib
import re
from collections.abc import Iterable, Sequence

import msgspec

from eventfeed.domain.page_entries import PageEntry, ProofMembers

# A log name has always this many lower-case letters and digits, which tells a cursor from an event id.
LOG_NAME_LENGTH = 12

# Characters of a proof: the first 30 of the 40 bits of a digest, in base 32.
PROOF_LENGTH = 6
_DIGEST = hashlib.blake2b(digest_size=5)
# The character of each number of five bits, as a table for `bytes.translate`.
_BASE32 = b"abcdefghijklmnopqrstuvwxyz234567".ljust(256, b"?")
# Bytes of a digest in `_base32`, which has a character for each.
_LANE_BYTES = 8

_CURSOR = re.compile(
    rf"(?P<log>[a-z0-9]{{{LOG_NAME_LENGTH}}})\.(?P<position>[0-9]{{1,20}})(?:\.(?P<proof>[a-z2-7]{{{PROOF_LENGTH}}}))?",
    re.ASCII,
)
_DIGITS = re.compile(r"[0-9]{1,40}", re.ASCII)


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """The last position examined in the log of this name. 0 is before the first entry.

    `proof` is that of the entry at the position, "" if the entry has expired. Cursors from before proofs have none.
    `time` is the registration of the entry (µs since 1970), 0 without one. It is no part of the text.
    """

    log: str
    position: int
    proof: str = ""
    time: int = 0

    def __str__(self) -> str:
        return f"{self.log}.{self.position}.{self.proof}" if self.proof else f"{self.log}.{self.position}"


class BareSequence(msgspec.Struct, frozen=True, kw_only=True):
    """Digits alone: a sequence of the present log; 0 is the oldest retained entry."""

    position: int


class EventId(msgspec.Struct, frozen=True, kw_only=True):
    """Any other text: the position of the first retained event with this id."""

    id: str


After = Cursor | BareSequence | EventId


def parse_after(text: str) -> After:
    """Parse the parameter `after`."""
    if match := _CURSOR.fullmatch(text):
        return Cursor(log=match["log"], position=int(match["position"]), proof=match["proof"] or "")
    if _DIGITS.fullmatch(text):
        return BareSequence(position=int(text))
    return EventId(id=text)


def parse_last_event_id(text: str) -> After:
    """Parse `lastEventId` of HTTP Feeds: a cursor, or an event id, also of digits. `null` and `0` are the beginning."""
    if text in ("null", "0"):
        return BareSequence(position=0)
    after = parse_after(text)
    return after if isinstance(after, Cursor) else EventId(id=text)


def cursor_at(entry: PageEntry, *, log: str) -> Cursor:
    """Return the cursor after an entry, with its time and its proof: a digest of what belongs to this entry alone."""
    return _cursor_at(log, (entry.sequence, entry.time, entry.write_id))


def cursor_texts(entries: Iterable[ProofMembers], *, log: str) -> Sequence[str]:
    """Return the text of the cursor after each entry."""
    starts, digests = list[str](), list[bytes]()
    for position, time, write_id in entries:
        start = f"{log}.{position}."
        digest = _DIGEST.copy()  # faster than a new one
        digest.update(f"{start}{time}.{write_id}".encode())
        starts.append(start)
        digests.append(digest.digest())
    proofs, places = _base32(digests), range(0, _LANE_BYTES * len(starts), _LANE_BYTES)
    return [start + proofs[place : place + PROOF_LENGTH] for start, place in zip(starts, places, strict=True)]


def _base32(digests: Sequence[bytes]) -> str:
    """Return digests of 5 bytes in base 32, 8 characters each.

    A stream has a cursor for each event, so all digests are one number, with a lane of 8 bytes each. Each step parts
    the bits of a group: 40, 20, 10, 5. `base64.b32encode` takes ten times as long.
    """
    count, unused = len(digests), bytes(_LANE_BYTES - _DIGEST.digest_size)
    bits = int.from_bytes(unused + unused.join(digests))
    for half, shift in ((20, 12), (10, 6), (5, 3)):
        low = _low_halves(half, lanes=1 << count.bit_length())  # as many or more
        bits = (bits & low << half) << shift | bits & low
    return bits.to_bytes(_LANE_BYTES * count).translate(_BASE32).decode()


@functools.lru_cache(maxsize=64)
def _low_halves(half: int, *, lanes: int) -> int:
    """Return a mask of the lower half of each group: of 20 bits once a lane, of 10 twice, of 5 four times."""
    group_bytes = _LANE_BYTES * half // 20
    return int.from_bytes(((1 << half) - 1).to_bytes(group_bytes) * (_LANE_BYTES // group_bytes * lanes))


@functools.lru_cache(maxsize=1_024)  # most readers stand at the end
def _cursor_at(log: str, members: ProofMembers) -> Cursor:
    position, time, _ = members
    (text,) = cursor_texts([members], log=log)
    return Cursor(log=log, position=position, proof=text[-PROOF_LENGTH:], time=time)
