"""Bodies: their content coding."""

import gzip
import tracemalloc

import pytest
from litestar.exceptions import HTTPException

from eventfeed.domain.errors import InvalidRequest, TooLarge
from eventfeed.http.body import decode_content

LIMIT = 2 * 1024 * 1024


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", " GZIP "])
@pytest.mark.parametrize("body", [b"{}", b"x" * LIMIT, gzip.compress(b"twice", mtime=0)])
def test_gzip_body_is_decoded_once(coding: str, body: bytes) -> None:
    """Also a body of exactly the limit, and one that consists of two gzip files."""
    middle = len(body) // 2
    parts = gzip.compress(body[:middle]) + gzip.compress(body[middle:])

    assert body == decode_content(gzip.compress(body), coding, bytes_max=LIMIT)
    assert body == decode_content(parts, coding, bytes_max=LIMIT)


@pytest.mark.parametrize("coding", ["", "identity", "Identity"])
def test_body_without_a_coding_is_unchanged(coding: str) -> None:
    """`identity` names no coding."""
    assert b"\x1f\x8b" == decode_content(b"\x1f\x8b", coding, bytes_max=LIMIT)


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "gzip, br", "aes128gcm", "*"])
def test_other_coding_is_unsupported(coding: str) -> None:
    """The refusal names the accepted codings (RFC 9110 §15.5.16)."""
    with pytest.raises(HTTPException) as refusal:
        decode_content(b"{}", coding, bytes_max=LIMIT)

    assert 415 == refusal.value.status_code
    assert {"Accept-Encoding": "gzip, identity"} == refusal.value.headers


def test_bomb_is_refused_at_the_limit() -> None:
    """One GiB of zeros is decoded no further than the limit."""
    bomb = gzip.compress(b"\x00" * (64 * 1024 * 1024)) * 16
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decode_content(bomb, "gzip", bytes_max=LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 16 * 1024 * 1024


@pytest.mark.parametrize(
    "body", [b"{}", b"\x1f\x8b", gzip.compress(b"x", mtime=0)[:-1], gzip.compress(b"x", mtime=0) + b"rest"]
)
def test_damaged_gzip_is_invalid(body: bytes) -> None:
    """Plain bytes, a part of a file, and bytes after it are no gzip."""
    with pytest.raises(InvalidRequest):
        decode_content(body, "gzip", bytes_max=LIMIT)


def test_many_empty_gzip_files_are_invalid() -> None:
    """Each would cost a step."""
    with pytest.raises(InvalidRequest):
        decode_content(gzip.compress(b"", mtime=0) * 50_000, "gzip", bytes_max=LIMIT)
