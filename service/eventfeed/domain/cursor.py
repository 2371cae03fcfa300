"""Cursors: a consumer's place in one log."""

import re

import msgspec

# Lower-case letters and digits, always this many: so that a cursor is told from an event id.
LOG_NAME_LETTERS = 12

_CURSOR = re.compile(rf"(?P<log>[a-z0-9]{{{LOG_NAME_LETTERS}}})\.(?P<position>[0-9]{{1,20}})", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,40}", re.ASCII)


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """The last position examined, in the log of this name. 0 is before the first entry."""

    log: str
    position: int

    def __str__(self) -> str:
        return f"{self.log}.{self.position}"


class Bare(msgspec.Struct, frozen=True, kw_only=True):
    """Digits alone: a sequence of whichever log this is; 0 is the oldest entry still kept."""

    position: int


class EventId(msgspec.Struct, frozen=True, kw_only=True):
    """Anything else: the place of the first retained event with this id."""

    id: str


def parse_after(text: str) -> Cursor | Bare | EventId:
    """What a consumer means by `after`."""
    if found := _CURSOR.fullmatch(text):
        return Cursor(log=found["log"], position=int(found["position"]))
    if _DIGITS.fullmatch(text):
        return Bare(position=int(text))
    return EventId(id=text)
