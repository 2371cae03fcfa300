"""Bodies: content coding, and members that a JSON text repeats."""

import gzip
import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.exceptions import HTTPException

from eventfeed.domain.errors import InvalidRequest, TooLarge
from eventfeed.http.body import decode_content, may_repeat, repeated_member

LIMIT = 2 * 1024 * 1024
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.sampled_from('ab:"\\{}u03'), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", ":", "u003a"]), inner),
    max_leaves=8,
)


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


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        (b'{"a":1,"a":1}', "/a"),
        (b'{"a":1,"\\u0061":2}', "/a"),
        (b'{"data":{"a":1,"a":2}}', "/data/a"),
        (b'{"data":[0,{"a/b":{"x":1,"x":2}}]}', "/data/1/a~1b/x"),
        (b'{"a":1,"a":2,"b":"\\u003a"}', "/a"),
        (b'{"a":1,"a":2,"b":"\\u003A"}', "/a"),
        (b'{"a":1,"b":{"a":1},"c":"a:a:"}', None),
        (b'{"a":1,"A":2}', None),
        (b'{"a":' + b"9" * 5_000 + b"}", None),
    ],
)
def test_repeated_member_is_found_at_any_depth(text: bytes, pointer: str | None) -> None:
    """Names are compared after their escapes are removed. A number may have any length."""
    assert pointer == repeated_member(text)
    assert pointer is None or may_repeat(text, msgspec.json.encode(msgspec.json.decode(text)))


@given(value=JSON_VALUES, twice=JSON_VALUES)
def test_text_with_a_repeated_member_is_never_taken_as_certain(value: object, twice: object) -> None:
    """Equal numbers of colons prove that there is none, whatever strings hold."""
    one, other = json.dumps(value), json.dumps(twice)
    text = f'{{"x":{one},"y":{{"m":{other},"m":{one}}}}}'.encode()

    assert may_repeat(text, msgspec.json.encode(msgspec.json.decode(text)))


@given(value=JSON_VALUES)
def test_usual_text_needs_no_second_look(value: object) -> None:
    """Strings with colons, and with the letters of an escape, give no wrong result."""
    text = json.dumps({"x": value}).encode()

    assert repeated_member(text) is None
    assert b"u003" in text or not may_repeat(text, msgspec.json.encode(msgspec.json.decode(text)))
