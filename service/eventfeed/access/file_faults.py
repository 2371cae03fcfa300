"""Faults of a file's values in plain words, instead of those of the parser."""

import re
from collections.abc import Mapping

import msgspec

_TYPES = {
    "str": "text",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
    "datetime": "a time",
}
_TIME = "must be a time with an offset, such as 2026-01-31T12:00:00Z"
_TIME_FAULTS = ("Invalid RFC3339 encoded datetime", "Expected `datetime` with a timezone component")
_END = "Input data was truncated"
_TYPE = re.compile(r"Expected `(?P<type>\w+)(?: \| null)?`, got `(?P<actual>\w+)`")
_LENGTH = re.compile(r"Expected `array` of length (?P<sign>[<>])= (?P<length>[0-9]+)")
_FIELD = re.compile(r"Object (?:contains )?(?P<fault>(?:unknown|missing required) field `.*`)", re.DOTALL)


def file_fault(failure: Exception, forms: Mapping[str, str]) -> str:
    """Return the fault that a decoder reports, with the place in the file; `forms` describes each pattern."""
    match failure:
        case UnicodeDecodeError():
            return "the file is not UTF-8"
        case RecursionError():
            return "the JSON is nested too deeply"
        case msgspec.ValidationError():
            reason, _, place = str(failure).rpartition(" - at ")
            return f"{place} {_value_fault(reason, forms)}" if reason else f"the file {_value_fault(place, forms)}"
        case _:
            reason = str(failure).removeprefix("JSON is malformed: ").replace(_END, "it ends too early")
            return f"the file is no JSON: {reason}"


def _value_fault(reason: str, forms: Mapping[str, str]) -> str:
    """Return what a value must be, or the reason itself if it has no other words."""
    for pattern, form in forms.items():
        if reason == f"Expected `str` matching regex {pattern!r}":
            return f"must be {form}"
    if reason in _TIME_FAULTS:
        return _TIME
    if match := _TYPE.fullmatch(reason):
        return f"must be {_type_name(match['type'])}, not {_type_name(match['actual'])}"
    if match := _LENGTH.fullmatch(reason):
        bound = "at least" if match["sign"] == ">" else "at most"
        return f"must have a length of {bound} {match['length']}"
    match = _FIELD.fullmatch(reason)
    return f"has the fault: {match['fault']}" if match else f"is not valid: {reason}"


def _type_name(name: str) -> str:
    return _TYPES.get(name, name)
