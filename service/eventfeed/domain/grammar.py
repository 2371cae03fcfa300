"""Grammars: the allowed texts of each type, with the specification that defines it.

Attributes of events, members of requests and parameters name their type. A grammar describes what is allowed, so a text
that nobody thought of is refused.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from eventfeed.domain.moment import is_moment
from eventfeed.domain.uri import RESOURCE_LENGTH_MAX, is_https_url, is_uri, is_urn

# RFC 2045 §5.1, to which RFC 2046 refers.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z\-]++"  # noqa: S105  # characters, no secret
_QUOTED = r'"(?:[\t !#-\[\]-~]|\\[\t -~])*+"'
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|{_QUOTED}))*")
# W3C Trace Context §3.2: only versions after 00 may have more fields.
TRACEPARENT = re.compile(
    r"(?:00|(?P<later>(?!00|ff)[0-9a-f]{2}))-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?(later)(?:-[!-~]*)?)"
)
# CloudEvents 1.0.2, type system: control characters, surrogates, and noncharacters (Unicode 15 §23.7).
_NONCHARACTERS = "".join(rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(17))
_NO_STRING = re.compile(rf"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")


class Grammar(NamedTuple):
    """A type of text: `accepts` is true of its texts, `fault` says what any other text must be."""

    accepts: Callable[[str], object]
    fault: str


def is_string(text: str) -> bool:
    """True if the text has no control characters, surrogates and noncharacters (CloudEvents 1.0.2, type system)."""
    # `isprintable` is faster, and nearly every text is printable.
    return text.isprintable() or not _NO_STRING.search(text)


# The types, with the fault of a text of another type.
STRING = Grammar(is_string, "must not hold control characters or noncharacters")
URI = Grammar(is_uri, "must be an absolute URI (RFC 3986)")
HTTPS_URL = Grammar(
    is_https_url,
    "must be an absolute https URL (RFC 3986): ASCII, with no user information and no '.', '..', '//' or escaped "
    "separators in its path",
)
URN = Grammar(is_urn, f"must be a URN (RFC 8141) of at most {RESOURCE_LENGTH_MAX} characters")
MEDIA_TYPE = Grammar(_MEDIA_TYPE.fullmatch, "must be a media type, such as application/json (RFC 2046)")
TIMESTAMP = Grammar(is_moment, "must be a time with an offset, such as 2026-01-31T12:00:00Z (RFC 3339)")
TRACE = Grammar(TRACEPARENT.fullmatch, "must be a traceparent (W3C Trace Context §3.2)")
