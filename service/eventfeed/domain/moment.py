"""Moments: whole microseconds since 1970 UTC, written as RFC 3339."""

import functools
import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
# A day in microseconds.
DAY = 24 * 3_600 * _SECOND
# RFC 3339 §5.6.
_RFC3339 = re.compile(
    r"(?P<minute>\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}):(?P<second>\d{2})(?:\.(?P<fraction>\d+))?"
    r"(?:(?P<zulu>[Zz])|(?P<sign>[+-])(?P<hours>\d{2}):(?P<minutes>\d{2}))",
    re.ASCII,
)
_LEAP_SECOND = "60"


def parse_moment(text: str) -> int | None:
    """Parse an RFC 3339 time with an offset, rounded up to the microsecond; None for any other text.

    A leap second, which ends a month in UTC, is the last microsecond before that end (RFC 3339 §5.7).
    """
    match = _RFC3339.fullmatch(text)
    if match is None or int(match["hours"] or 0) > 23 or int(match["minutes"] or 0) > 59:
        return None
    is_leap = match["second"] == _LEAP_SECOND
    try:
        local = datetime.fromisoformat(f"{match['minute']}:{'59' if is_leap else match['second']}+00:00")
    except ValueError:
        return None
    offset = timedelta(hours=int(match["hours"] or 0), minutes=int(match["minutes"] or 0))
    shift = -offset if match["sign"] == "-" else offset
    moment = (local - _EPOCH - shift) // _MICROSECOND
    if is_leap:
        return moment + _SECOND - 1 if _begins_month(moment + _SECOND) else None
    return moment + _microseconds(match["fraction"] or "0")


def _begins_month(moment: int) -> bool:
    try:
        return f"{_EPOCH + moment * _MICROSECOND:%d %H:%M:%S}" == "01 00:00:00"
    except OverflowError:
        return False


def is_moment(text: str) -> bool:
    """True if the text is an RFC 3339 time with an offset."""
    return parse_moment(text) is not None


# A page at the end of the log has the time of the last receipt.
@functools.lru_cache(maxsize=1_024)
def format_moment(moment: int) -> str:
    """Format as RFC 3339 in UTC with microseconds: `2026-01-31T12:00:00.000000Z`."""
    second, microsecond = divmod(moment, _SECOND)
    return f"{_format_second(second)}.{microsecond:06d}Z"


# Most times to format are of the present second.
@functools.lru_cache(maxsize=16)
def _format_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat()


def _microseconds(fraction: str) -> int:
    whole, rest = fraction[:6].ljust(6, "0"), fraction[6:]
    return int(whole) + (1 if rest.strip("0") else 0)
