"""Texts in headers: percent-encoded, decoded once."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.http.header_text import decode_header


@given(text=st.text(), safe=st.sampled_from(["", " !#&'()*+,/:;=?@[]"]))
def test_encoded_text_is_decoded_once(text: str, safe: str) -> None:
    """Every character may be encoded, and `%` itself must be."""
    assert text == decode_header(quote(text, safe=safe))


@pytest.mark.parametrize("value", ["%", "a%", "%2", "%ZZ", "%z0", "%0z", "100 % sure", "%%41", "%u0041", "% 41", "%-1"])
def test_invalid_escape_is_refused(value: str) -> None:
    """Two hexadecimal digits follow a percent sign (RFC 3986 §2.1)."""
    with pytest.raises(ValueError, match="% itself is %25"):
        decode_header(value)


@pytest.mark.parametrize("value", ["ø", "%ff", "%c3", "%ed%a0%80", "%c0%af"])
def test_text_outside_of_utf_8_is_refused(value: str) -> None:
    """A header holds ASCII, and its escapes are UTF-8."""
    with pytest.raises(ValueError, match="percent-encoded UTF-8"):
        decode_header(value)
