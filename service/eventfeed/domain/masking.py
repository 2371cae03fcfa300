"""No number that could be a person's leaves the service in words of ours."""

import re

_PERSON_NUMBER = re.compile(r"(?<![0-9])[0-9]{11}(?![0-9])")


def masked(text: str) -> str:
    """Text of which no run of digits can be a person number."""
    return _PERSON_NUMBER.sub("***********", text)
