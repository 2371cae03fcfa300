"""Texts in headers: percent-encoded UTF-8, since a header holds ASCII only (RFC 9110 §5.5)."""

import re
from urllib.parse import unquote

# A percent sign without two hexadecimal digits (RFC 3986 §2.1).
INVALID_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def decode_header(value: str) -> str:
    """Return the text of a header, decoded once. Raises `ValueError` with the fault."""
    try:
        text = value.encode("ascii").decode()
        if not INVALID_ESCAPE.search(text):
            return unquote(text, errors="strict")
    except UnicodeError:
        pass
    raise ValueError("is not ASCII with percent-encoded UTF-8 (% itself is %25)")
