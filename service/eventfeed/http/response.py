"""Responses whose bytes are ready, and gzip for clients that accept it."""

import asyncio
import functools
import gzip
from collections.abc import Sequence

import msgspec

# Media types of events (CloudEvents JSON format 1.0.2 §3, §4) and of everything else.
CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENT_BATCH = "application/cloudevents-batch+json"
JSON = "application/json"

# Below this, the header costs as much as compression saves.
COMPRESSED_BYTES_MIN = 1_000
# Compressing more would block the event loop for too long.
INLINE_COMPRESSION_BYTES_MAX = 64 * 1024
# The fastest level: events are repetitive, and higher levels save a tenth for three times the work.
_LEVEL = 1

Header = tuple[bytes, bytes]


class BytesResponse(msgspec.Struct, frozen=True):
    """Status, headers (names in lower case) and body. The framework's own class would process each header again."""

    status: int
    headers: Sequence[Header]
    body: bytes = b""


@functools.lru_cache(maxsize=256)
def accepts_gzip(accept_encoding: str) -> bool:
    """True if this `Accept-Encoding` accepts gzip (RFC 9110 §12.5.3)."""
    for coding in accept_encoding.split(","):
        name, _, weight = coding.partition(";")
        if name.strip().lower() in ("gzip", "x-gzip"):
            _, _, quality = weight.partition("=")
            return quality.strip().strip("0.") != "" or not quality
    return False


async def compress(body: bytes) -> bytes:
    """Return the body in gzip (RFC 1952)."""
    if len(body) <= INLINE_COMPRESSION_BYTES_MAX:
        return gzip.compress(body, _LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
