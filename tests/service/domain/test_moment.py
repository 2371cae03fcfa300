"""Moments: RFC 3339 in, whole microseconds, RFC 3339 out."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eventfeed.domain.moment import format_moment, parse_moment

# Also years of less than four digits.
MOMENTS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)


@given(moment=MOMENTS)
def test_moment_survives_formatting_and_parsing(moment: int) -> None:
    """Formatting and parsing a moment loses nothing."""
    assert moment == parse_moment(format_moment(moment))


@given(moment=MOMENTS, minutes=st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_time_with_any_offset_is_the_same_moment(moment: int, minutes: int) -> None:
    """The offset changes the local time, not the moment."""
    zone = timezone(timedelta(minutes=minutes))
    assume(abs(moment) < 60_000_000_000_000_000)
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)).astimezone(zone)

    assert moment == parse_moment(local.isoformat())


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("1970-01-01T00:00:00.1234567Z", 123_457),
        ("1970-01-01T00:00:00.1234560000Z", 123_456),
        ("1969-12-31T23:59:59Z", -1_000_000),
        ("0001-01-01T00:00:00+14:00", -62_135_647_200_000_000),
        ("1972-06-30T23:59:60Z", 78_796_799_999_999),
        ("1972-06-30T23:59:60.999Z", 78_796_799_999_999),
        ("1972-06-30T15:59:60-08:00", 78_796_799_999_999),
    ],
)
def test_parse_moment_accepts_every_form_of_rfc_3339(text: str, moment: int) -> None:
    """Either case, any offset, any fraction, leap seconds. A finer fraction is rounded up: bounds stay exact."""
    assert moment == parse_moment(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:00Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00+0100",
        "2026-01-31T12:00:00+24:00",
        "20260131T120000Z",
        "2026-W05-6T12:00:00Z",
        "٢٠٢٦-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z\n",
        "now",
        "1970-01-01T01:00:00 01:00",
    ],
)
def test_parse_moment_returns_none_for_other_text(text: str) -> None:
    """A text without an offset, or with a day outside the calendar, is no moment."""
    assert parse_moment(text) is None
