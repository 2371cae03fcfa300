"""JSON objects in bodies, with every member: a repeated one could mean two things to two programs (RFC 8259 §4)."""

import json
from collections import Counter
from collections.abc import Sequence

import msgspec

_PARSE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Members(list[tuple[str, object]]):
    """The members of a JSON object, in order."""

    def repeated(self) -> Sequence[str]:
        """Return the names that occur more than once."""
        return [name for name, count in Counter(name for name, _ in self).items() if count > 1]


def parse_object(body: bytes) -> Members:
    """Return the members of a JSON object; objects in it are `Members` too. Raises `ValueError` for any other bytes."""
    try:
        msgspec.json.decode(body, type=dict[str, object])  # stricter: surrogates, NaN, long numbers
        members: Members = _decoder.decode(body.decode())
    except _PARSE_ERRORS:
        raise ValueError("not a JSON object") from None
    return members


_decoder = json.JSONDecoder(object_pairs_hook=Members)
