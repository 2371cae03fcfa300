"""Compression of responses for clients that accept it."""

import gzip

import pytest

from eventfeed.http.response import INLINE_COMPRESSION_BYTES_MAX, accepts_gzip, compress


@pytest.mark.parametrize(
    ("accept_encoding", "is_accepted"),
    [
        ("", False),
        ("gzip", True),
        ("br, GZIP", True),
        ("x-gzip", True),
        ("gzip;q=0.5", True),
        ("gzip; q=1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("deflate, br", False),
        ("*", False),
    ],
)
def test_gzip_is_used_only_if_the_client_accepts_it(accept_encoding: str, *, is_accepted: bool) -> None:
    """The header must name gzip with a weight above 0 (RFC 9110 §12.5.3)."""
    assert is_accepted == accepts_gzip(accept_encoding)


@pytest.mark.parametrize("size", [0, 1_000, INLINE_COMPRESSION_BYTES_MAX + 1])
async def test_compressed_body_unpacks_to_the_same_bytes(size: int) -> None:
    """This holds for every length, and the compressed bytes are the same each time."""
    body = b"x" * size
    assert body == gzip.decompress(await compress(body))
    assert await compress(body) == await compress(body)
