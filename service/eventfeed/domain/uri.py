"""URIs as RFC 3986 defines them, and the https URLs and URNs among them. No pattern backtracks."""

import re
from ipaddress import AddressValueError, IPv6Address

# Decisions are cached by resource, and several are sent in one request.
RESOURCE_LENGTH_MAX = 1_000

_PORT_MAX = 65_535


def _run(characters: str, escape: str = "%[0-9A-Fa-f]{2}") -> str:
    """Return a pattern for any number of these characters and escapes; possessive, so that it never backtracks."""
    return f"[{characters}]*+(?:{escape}[{characters}]*+)*+"


# RFC 3986 §2.2 and §2.3: unreserved characters and sub-delimiters.
_NAME = r"A-Za-z0-9._~!$&'()*+,;=\-"
_PATH = _run(_NAME + ":@/")
_REST = rf"(?:\?{_run(_NAME + ':@/?')})?(?:#{_run(_NAME + ':@/?')})?"
_ADDRESS = r"\[(?P<address>[0-9A-Fa-f:.]+)\]"
_PORT = "(?::(?P<port>[0-9]{0,5}))?"
# RFC 3986 §3.
_URI = re.compile(
    rf"[A-Za-z][A-Za-z0-9+.\-]*+:"
    rf"(?://(?:{_run(_NAME + ':')}@)?(?:{_ADDRESS}|{_run(_NAME)}){_PORT}(?:/{_PATH})?|(?!//){_PATH}){_REST}"
)
# RFC 8141 §2.
_URN = re.compile(
    rf"urn:[A-Za-z0-9][A-Za-z0-9\-]{{0,30}}[A-Za-z0-9]:(?=[^/?#]){_PATH}{_REST}", re.IGNORECASE | re.ASCII
)
# A segment of a path with one spelling: no dots alone, no escaped separator, dot or zero (RFC 3986 §6.2.2).
_HOST_NAME = r"[A-Za-z0-9_\-]++(?:\.[A-Za-z0-9_\-]++)*+\.?"
_SEGMENT = rf"(?!\.{{1,2}}(?:[/?#]|\Z))(?=[^/?#]){_run(_NAME + ':@', '%(?!2[EeFf]|5[Cc]|00)[0-9A-Fa-f]{2}')}"
_HTTPS_URL = re.compile(rf"(?i:https)://(?:{_ADDRESS}|{_HOST_NAME}){_PORT}(?:/{_SEGMENT})*+/?{_REST}", re.ASCII)


def is_uri(text: str) -> bool:
    """True if the text is a URI, with its scheme (RFC 3986 §3)."""
    match = _URI.fullmatch(text)
    return match is not None and _has_valid_host(match)


def is_https_url(text: str) -> bool:
    """True if the text is an https URL with one spelling (RFC 3986, RFC 9110 §4.2.2).

    It has a host name or an IPv6 address, and no user information, dot segments, empty segments or escaped separators.
    """
    match = _HTTPS_URL.fullmatch(text)
    return match is not None and _has_valid_host(match)


def is_urn(text: str) -> bool:
    """True if the text is a URN (RFC 8141 §2) that a decision point can be asked about."""
    return len(text) <= RESOURCE_LENGTH_MAX and _URN.fullmatch(text) is not None


def _has_valid_host(match: re.Match[str]) -> bool:
    """True if the address in brackets is an IPv6 address, and the port one of TCP."""
    if int(match["port"] or 0) > _PORT_MAX:
        return False
    try:
        return match["address"] is None or bool(IPv6Address(match["address"]))
    except AddressValueError:
        return False
