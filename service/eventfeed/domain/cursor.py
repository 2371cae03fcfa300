"""Cursors: positions in one log, as consumers keep them."""

import re

import msgspec

# A log name has always this many lower-case letters and digits, which tells a cursor from an event id.
LOG_NAME_LENGTH = 12

_CURSOR = re.compile(rf"(?P<log>[a-z0-9]{{{LOG_NAME_LENGTH}}})\.(?P<position>[0-9]{{1,20}})", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,40}", re.ASCII)


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """The last position examined in the log of this name. 0 is before the first entry."""

    log: str
    position: int

    def __str__(self) -> str:
        return f"{self.log}.{self.position}"


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
        return Cursor(log=match["log"], position=int(match["position"]))
    if _DIGITS.fullmatch(text):
        return BareSequence(position=int(text))
    return EventId(id=text)
