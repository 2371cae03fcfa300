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

# Characters of a proof: 30 bits, in base 32.
PROOF_LENGTH = 6
_DIGEST_BYTES = 5
_UNUSED_BITS = 8 * _DIGEST_BYTES - 5 * PROOF_LENGTH
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
# By ten bits. `base64.b32encode` takes ten times as long, and a stream has a cursor for each event.
_PAIRS = [one + other for one in _BASE32 for other in _BASE32]

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
    texts = list[str]()
    for position, time, write_id in entries:
        start = f"{log}.{position}."
        digest = hashlib.blake2b(f"{start}{time}.{write_id}".encode(), digest_size=_DIGEST_BYTES).digest()
        bits = int.from_bytes(digest) >> _UNUSED_BITS
        texts.append(f"{start}{_PAIRS[bits >> 20]}{_PAIRS[bits >> 10 & 1023]}{_PAIRS[bits & 1023]}")
    return texts


@functools.lru_cache(maxsize=1_024)  # most readers stand at the end
def _cursor_at(log: str, members: ProofMembers) -> Cursor:
    position, time, _ = members
    (text,) = cursor_texts([members], log=log)
    return Cursor(log=log, position=position, proof=text[-PROOF_LENGTH:], time=time)
