"""Parties of events: the forms of `subject` that name one (contract section 3)."""

import functools
import re
from typing import Literal

import msgspec

PREFIX = "/party/"
_PARTY_ID = r"(?![0-9]{11}\Z)[0-9]{1,18}"
_FORMS = re.compile(
    rf"(?:/party/|urn:altinn:party:id:)(?P<party>{_PARTY_ID})"
    r"|urn:altinn:party:uuid:(?P<uuid>[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"
    r"|(?:/organi[sz]ation/|/org/|urn:altinn:organization:identifier-no:)?(?P<organisation>[0-9]{9})"
    r"|(?:/person/|urn:altinn:person:identifier-no:)?(?P<person>[0-9]{11})"
)
_IDS = (PREFIX, "urn:altinn:party:id:")
_SUBJECTS_MAX = 1_024


class PartyName(msgspec.Struct, frozen=True):
    """The number or id that a subject names a party by. A uuid is in lower case."""

    kind: Literal["party", "uuid", "organisation", "person"]
    value: str


@functools.lru_cache(maxsize=_SUBJECTS_MAX)
def parse_party(subject: str) -> PartyName | None:
    """Return the party that a subject names; None if it names none."""
    match = _FORMS.fullmatch(subject)
    if match is None or match.lastgroup is None:
        return None
    # The only group that took part.
    return PartyName(match.lastgroup, match[match.lastgroup].lower())  # type: ignore[arg-type]  # the groups' names


def names_party(subject: str) -> bool:
    """True if a subject has a form that names a party, be it well formed or not."""
    return subject.startswith(_IDS) or parse_party(subject) is not None


def has_malformed_id(subject: str) -> bool:
    """True if a subject has the form of a party id without one, such as a person number in its place."""
    return subject.startswith(_IDS) and parse_party(subject) is None
