"""Masking of person numbers in every text that the service writes itself."""

import re

_PERSON_NUMBER = re.compile(r"(?<![0-9])[0-9]{11}(?![0-9])")


def mask_person_numbers(text: str) -> str:
    """Return the text with each run of 11 digits replaced by asterisks."""
    return _PERSON_NUMBER.sub("***********", text)
