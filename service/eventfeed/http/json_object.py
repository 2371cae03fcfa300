"""JSON objects in bodies, with every member: a repeated one could mean two things to two programs (RFC 8259 §4)."""

import json
from collections import Counter
from collections.abc import Sequence

import msgspec

from eventfeed.http.body import PARSE_ERRORS, json_fault, parse_fault


class Members(list[tuple[str, object]]):
    """The members of a JSON object, in order."""

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
