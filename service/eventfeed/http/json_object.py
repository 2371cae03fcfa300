"""JSON of requests without repeated members: one could mean two things to two programs (RFC 8259 §4, RFC 7493 §2.3)."""

import json
from collections import Counter
from collections.abc import Sequence

import msgspec

PARSE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class Members(list[tuple[str, object]]):
    """The members of a JSON object, in order, repeated ones too."""

    def repeated(self) -> Sequence[str]:
        """Return the names that occur more than once."""
        return [name for name, count in Counter(name for name, _ in self).items() if count > 1]


def parse_object(body: bytes) -> Members:
    """Return the members of a JSON object; objects in it are `Members` too. Raises `ValueError` with the reason."""
    if fault := json_fault(body):
        raise ValueError(fault)
    try:
        msgspec.json.decode(body, type=dict[str, object])  # stricter: surrogates, NaN, long numbers
        members: Members = _decoder.decode(body.decode())
    except PARSE_ERRORS as failure:
        raise ValueError(parse_fault(failure)) from None
    return members


_decoder = json.JSONDecoder(object_pairs_hook=Members)


def json_fault(body: bytes) -> str | None:
    """Return the reason why a body cannot be JSON as this service takes it, from its first bytes."""
    if body.startswith(BYTE_ORDER_MARKS):
        return "it begins with a byte order mark: send UTF-8 without one (RFC 8259 §8.1)"
    return None


def parse_fault(failure: Exception) -> str:
    """Return the reason of one of `PARSE_ERRORS`, without the wording of the parser where that is unclear."""
    match failure:
        case RecursionError():
            return "it is nested too deeply"
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case _:
            return str(failure)


def repeated_member(text: bytes) -> str | None:
    """Return the JSON pointer (RFC 6901) of the first member that an object of a valid JSON text repeats."""
    # Numbers stay text: Python refuses to convert one of 5,000 digits.
    value = json.loads(text, object_pairs_hook=Members, parse_int=str, parse_float=str)
    return _repeated(value, pointer="")


def _repeated(value: object, *, pointer: str) -> str | None:
    pairs: Sequence[tuple[str, object]] = ()
    match value:
        case Members():
            pairs = value
        case list():
            pairs = [(str(index), each) for index, each in enumerate(value)]
    names = set[str]()
    for name, inner in pairs:
        path = f"{pointer}/{escape(name)}"
        if name in names:
            return path
        names.add(name)
        if isinstance(inner, list) and (deeper := _repeated(inner, pointer=path)):
            return deeper
    return None


def escape(name: str) -> str:
    """Escape a member's name for a JSON pointer (RFC 6901 §3)."""
    return name.replace("~", "~0").replace("/", "~1")
