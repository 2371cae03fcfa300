"""Values of parameters. Each function returns the value, or raises `ValueError` with the fault."""

import re
from collections.abc import Callable

from eventfeed.domain.feed import PAGE_EVENTS_MAX
from eventfeed.domain.moment import parse_moment

_DIGITS = re.compile(r"[0-9]{1,100}", re.ASCII)


def convert_moment(text: str) -> int:
    """Return the microseconds since 1970 of a time."""
    moment = parse_moment(text)
    if moment is None:
        raise ValueError("must be a time with an offset, such as 2026-01-31T12:00:00Z (RFC 3339)")
    return moment


def convert_size(text: str) -> int:
    """Return the size of a page, at most `PAGE_EVENTS_MAX`."""
    if not _DIGITS.fullmatch(text) or int(text) < 1:
        raise ValueError(f"must be a number from 1 to {PAGE_EVENTS_MAX}")
    return min(int(text), PAGE_EVENTS_MAX)


def convert_text(text: str) -> str:
    """Return a text that is not empty."""
    if not text:
        raise ValueError("must not be empty")
    return text


def _pattern(pattern: str, fault: str) -> Callable[[str], str]:
    regex = re.compile(pattern, re.ASCII)

    def convert(text: str) -> str:
        if not regex.fullmatch(text):
            raise ValueError(fault)
        return text

    return convert


# A person number in place of a party id would travel in links.
convert_party = _pattern(r"(?![0-9]{11}$)[0-9]{1,18}", "must be a party id in digits, and not a person number")
convert_unit = _pattern(r"[0-9]{9}", "must be an organisation number of 9 digits")
convert_person = _pattern(r"[0-9]{11}", "must be a person number of 11 digits")
