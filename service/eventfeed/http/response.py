"""Media types, responses whose bytes are ready, and gzip for clients that accept it."""

import asyncio
import functools
import gzip
import re
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
COMPRESSION_LEVEL = 1

Header = tuple[bytes, bytes]

_CHARSET = re.compile(r"(?:^|;)\s*charset\s*=\s*\"?(?P<name>[^\s;\"]*)")


class BytesResponse(msgspec.Struct, frozen=True):
    """Status, headers (names in lower case) and body. The framework's own class would process each header again."""

    status: int
    headers: Sequence[Header]
    body: bytes = b""


@functools.lru_cache(maxsize=256)
def parse_media_type(content_type: str) -> str:
    """Return the media type in lower case; one with a charset other than UTF-8 keeps it (RFC 8259 §8.1)."""
    media_type, _, parameters = content_type.lower().partition(";")
    others = {name for name in _CHARSET.findall(parameters) if name not in ("", "utf-8", "utf8", "us-ascii")}
    return f"{media_type.strip()}; charset={others.pop()}" if others else media_type.strip()


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
        return gzip.compress(body, COMPRESSION_LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, COMPRESSION_LEVEL, mtime=0)
