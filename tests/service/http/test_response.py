"""Answers as they go out: compressed for whoever asks for it, and only then."""

import gzip

import pytest

from eventfeed.http.response import COMPRESSED_HERE_BYTES_MAX, compressed, takes_gzip


@pytest.mark.parametrize(
    ("accept_encoding", "takes"),
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
def test_gzip_is_for_whoever_asks_for_it(accept_encoding: str, *, takes: bool) -> None:
    """By its name, and not refused by a weight of nothing (RFC 9110 §12.5.3)."""
    assert takes == takes_gzip(accept_encoding)


@pytest.mark.parametrize("size", [0, 1_000, COMPRESSED_HERE_BYTES_MAX + 1])
async def test_it_is_the_same_when_it_is_unpacked(size: int) -> None:
    """However long it is; and the same each time."""
    body = b"x" * size
    assert body == gzip.decompress(await compressed(body))
    assert await compressed(body) == await compressed(body)
