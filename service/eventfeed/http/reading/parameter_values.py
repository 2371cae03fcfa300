"""Values of parameters: the grammar of each, with its source. Each function raises `ValueError` with the fault."""

import re
from collections.abc import Callable

from eventfeed.domain.feed import PAGE_EVENTS_MAX
from eventfeed.domain.filters import is_source_filter, is_type_filter
from eventfeed.domain.grammar import STRING, URN, Grammar
from eventfeed.domain.moment import parse_moment
from eventfeed.http.reading.long_poll import WAIT_SECONDS_MAX

# A `+` without an escape arrives as a space. A time holds one only between its date and its clock.
_DATE_LENGTH = len("2026-01-31")
# RFC 3339 §5.6 requires seconds and a `T`; clients of the replaced platform leave out the first and write a space.
_MINUTE = re.compile(r"(?P<start>\d{4}-\d\d-\d\d)[ Tt](?P<minute>\d\d:\d\d)(?P<offset>[Zz]|[+-]\d\d:\d\d)", re.ASCII)


def restore_plus(time: str) -> str:
    """Return the time of a query with the `+` of its offset."""
    return time[: _DATE_LENGTH + 1] + time[_DATE_LENGTH + 1 :].replace(" ", "+")


def convert_moment(text: str) -> int:
    """Return the microseconds since 1970 of a time. Seconds may be absent, and a space may stand for `T`."""
    if match := _MINUTE.fullmatch(text):
        text = "{start}T{minute}:00{offset}".format_map(match.groupdict())
    elif text[_DATE_LENGTH : _DATE_LENGTH + 1] == " ":
        text = f"{text[:_DATE_LENGTH]}T{text[_DATE_LENGTH + 1 :]}"
    moment = parse_moment(text)
    if moment is None:
        raise ValueError("must be a time with an offset, such as 2026-01-31T12:00:00Z (RFC 3339)")
    return moment


def convert_size(text: str) -> int:
    """Return the size of a page, at most `PAGE_EVENTS_MAX`."""
    size = int(_digits(text))
    if size < 1:
        raise ValueError(_SIZE_FAULT)
    return min(size, PAGE_EVENTS_MAX)


def convert_text(text: str) -> str:
    """Return a text that is not empty, and that an attribute of an event can hold (CloudEvents 1.0.2, type system)."""
    if not text:
        raise ValueError("must not be empty")
    if not STRING.accepts(text):
        raise ValueError(STRING.fault)
    return text


def convert_type(text: str) -> str:
    """Return a type, or the beginning of types and a wildcard."""
    if not is_type_filter(convert_text(text)):
        raise ValueError("may have a wildcard, * or %, only at its end")
    return text


def convert_exact_type(text: str) -> str:
    """Return a type without a wildcard."""
    if convert_text(text).endswith(("*", "%")):
        raise ValueError("must not have a wildcard on this feed")
    return convert_type(text)


def _grammar(accepts: Callable[[str], object], fault: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if not accepts(text):
            raise ValueError(fault)
        return text

    return convert


def _pattern(pattern: str, fault: str) -> Callable[[str], str]:
    return _grammar(re.compile(pattern, re.ASCII).fullmatch, fault)


def _of(grammar: Grammar) -> Callable[[str], str]:
    return _grammar(grammar.accepts, grammar.fault)


def convert_boolean(text: str) -> bool:
    """Return true or false."""
    return _boolean(text) == "true"


def convert_timeout(text: str) -> float:
    """Return the seconds of a timeout in milliseconds, at most `WAIT_SECONDS_MAX`."""
    return min(int(_milliseconds(text)) / 1_000, WAIT_SECONDS_MAX)


_SIZE_FAULT = f"must be a number from 1 to {PAGE_EVENTS_MAX}"
_digits = _pattern(r"[0-9]{1,100}", _SIZE_FAULT)
_boolean = _pattern("true|false", "must be true or false")
_milliseconds = _pattern(r"[0-9]{1,100}", "must be a whole number of milliseconds")
# A person number in place of a party id would travel in links.
convert_party = _pattern(r"(?![0-9]{11}$)[0-9]{1,18}", "must be a party id in digits, and not a person number")
convert_unit = _pattern(r"[0-9]{9}", "must be an organisation number of 9 digits")
convert_person = _pattern(r"[0-9]{11}", "must be a person number of 11 digits")
convert_resource = _of(URN)
convert_source = _grammar(
    is_source_filter, "must be an absolute URI (RFC 3986), or the beginning of one with a wildcard, * or %, at its end"
)
