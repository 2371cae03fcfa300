"""Conditions of feeds for tests, by the fields that they test."""

from collections.abc import Collection

from eventfeed.domain.conditions import AnyOf, Condition, Equal, Matches, NoneOf
from eventfeed.domain.filters import type_conditions


def conditions(
    *,
    types: Collection[str] = (),
    source: str | None = None,
    type_patterns: Collection[str] = (),
    subject: str | None = None,
    alternative_subject: str | None = None,
    id: str | None = None,  # noqa: A002  # the field's name
    but_resources: Collection[str] = (),
    but_subjects: Collection[str] = (),
) -> tuple[Condition, ...]:
    """Return a condition for each argument that has a value."""
    result = list[Condition]()
    if types:
        result.append(AnyOf("type", frozenset(types)))
    result += type_conditions(type_patterns, of_apps=False)
    if alternative_subject is not None:
        result.append(Equal("alternativesubject", alternative_subject))
    if source is not None:
        result.append(Matches("source", prefixes=frozenset({source})))
    if subject is not None:
        result.append(Equal("subject", subject))
    if id is not None:
        result.append(Equal("id", id))
    if but_resources:
        result.append(NoneOf("resource", frozenset(but_resources)))
    if but_subjects:
        result.append(NoneOf("subject", frozenset(but_subjects)))
    return tuple(result)
