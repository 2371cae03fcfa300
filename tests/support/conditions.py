"""Conditions of feeds for tests, by the fields that they test."""

from collections.abc import Collection

from eventfeed.domain.conditions import AnyOf, Condition, Equal, NoneOf, Prefix


def conditions(
    *,
    types: Collection[str] = (),
    source: str | None = None,
    subject: str | None = None,
    id: str | None = None,  # noqa: A002  # the field's name
    but_resources: Collection[str] = (),
    but_subjects: Collection[str] = (),
) -> tuple[Condition, ...]:
    """Return a condition for each argument that has a value."""
    result = list[Condition]()
    if types:
        result.append(AnyOf("type", frozenset(types)))
    if source is not None:
        result.append(Prefix("source", source))
    if subject is not None:
        result.append(Equal("subject", subject))
    if id is not None:
        result.append(Equal("id", id))
    if but_resources:
        result.append(NoneOf("resource", frozenset(but_resources)))
    if but_subjects:
        result.append(NoneOf("subject", frozenset(but_subjects)))
    return tuple(result)
