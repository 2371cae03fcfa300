"""Bodies of requests: content coding (RFC 9110 §8.4), and JSON without repeated members (RFC 8259, RFC 7493 §2.3)."""

import json
import zlib
from collections.abc import Sequence

import msgspec
from litestar.exceptions import HTTPException

from eventfeed.domain.errors import InvalidRequest, TooLarge

ACCEPTED_CODINGS = "gzip, identity"
PARSE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_GZIP = frozenset({"gzip", "x-gzip"})
# RFC 1952 §2.2: a file may have several members. Each costs at least 18 bytes.
_MEMBERS_MAX = 100
_GZIP_WINDOW = 31
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def decode_content(body: bytes, coding: str, *, bytes_max: int) -> bytes:
    """Return a body without its content coding. Nothing after `bytes_max` bytes is decoded.

    Raises 415 for a coding other than gzip, `TooLarge`, and `InvalidRequest` for other bytes than gzip.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity") or not body:
        return body
    if coding not in _GZIP:
        raise HTTPException(status_code=415, headers={"Accept-Encoding": ACCEPTED_CODINGS})
    parts, length = list[bytes](), 0
    for _ in range(_MEMBERS_MAX):
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            parts.append(member.decompress(body, bytes_max - length + 1))
        except zlib.error:
            break
        length += len(parts[-1])
        if length > bytes_max:
            raise TooLarge(f"The body of this request must not exceed {bytes_max} bytes after decoding.")
        body = member.unused_data
        if member.eof and not body:
            return b"".join(parts)
    raise InvalidRequest("The body is not valid gzip (RFC 1952).")


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


def may_repeat(text: bytes, canonical: bytes) -> bool:
    """True unless it is certain that no object of a JSON text repeats a member; `canonical` is the decoded text again.

    A member has one colon outside of strings, and decoding keeps one member of each name. So equal numbers of colons
    prove that the text repeats none. An escaped colon could hide one.
    """
    return text.count(b":") != canonical.count(b":") or b"u003" in text


class _Members(list[tuple[str, object]]):
    """The members of an object, repeated ones too."""


def repeated_member(text: bytes) -> str | None:
    """Return the JSON pointer (RFC 6901) of the first member that an object of a valid JSON text repeats."""
    # Numbers stay text: Python refuses to convert one of 5,000 digits.
    value = json.loads(text, object_pairs_hook=_Members, parse_int=str, parse_float=str)
    return _repeated(value, pointer="")


def _repeated(value: object, *, pointer: str) -> str | None:
    pairs: Sequence[tuple[str, object]] = ()
    match value:
        case _Members():
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
