"""Texts in headers: percent-encoded UTF-8, since a header holds ASCII only (RFC 9110 §5.5)."""

from urllib.parse import unquote


def decode_header(value: str) -> str:
    """Return the text of a header, decoded once. Raises `UnicodeError` for other characters, or bytes not in UTF-8."""
    return unquote(value.encode("ascii").decode(), errors="strict")
