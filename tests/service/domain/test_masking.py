"""Masking of person numbers."""

import pytest

from eventfeed.domain.masking import mask_person_numbers


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("01838012345", "***********"),
        ("person=01838012345&unit=310000011", "person=***********&unit=310000011"),
        ("01838012345 01838012345", "*********** ***********"),
        ("x01838012345x", "x***********x"),
        ("018380123456", "018380123456"),
        ("0183801234", "0183801234"),
        ("00000000000000000042", "00000000000000000042"),
    ],
)
def test_masking_replaces_each_run_of_11_digits(text: str, result: str) -> None:
    """Shorter and longer numbers, such as sequences, stay."""
    assert result == mask_person_numbers(text)
