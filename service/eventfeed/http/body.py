"""Bodies of requests: their content coding (RFC 9110 §8.4)."""

import zlib

from litestar.exceptions import HTTPException

from eventfeed.domain.errors import Fault, InvalidRequest, TooLarge

ACCEPTED_CODINGS = "gzip, identity"

_GZIP = frozenset({"gzip", "x-gzip"})
# RFC 1952 §2.2: a file may have several members. Each costs at least 18 bytes.
_MEMBERS_MAX = 100
_GZIP_WINDOW = 31


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
    raise invalid_body("is not valid gzip (RFC 1952)")


def invalid_body(fault: str) -> InvalidRequest:
    """Return the refusal of a whole body."""
    return InvalidRequest(f"The body {fault}.", faults=[Fault(pointer="", detail=fault)])
