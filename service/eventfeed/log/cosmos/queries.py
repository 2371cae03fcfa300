"""Conditions of a feed in the query language of Cosmos DB. Every value is a parameter."""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eventfeed.domain.conditions import AnyOf, Equal, Field
from eventfeed.domain.feed import FEEDS_MAX, Feed
from eventfeed.log.cosmos.documents import app_term

# Member of a commit by field: the list that has the field's value of each of its events.
_MEMBERS: Mapping[Field, str] = {
    "id": "event_ids",
    "type": "types",
    "subject": "subjects",
    "instance": "instances",
    "resource": "resources",
}
# Few events share a value of these fields.
_SELECTIVE = frozenset[Field]({"id", "subject", "instance"})


class TermFilter(NamedTuple):
    """A condition on the terms of a commit that has events of a feed, as a clause, and the values of its parameters.

    `is_selective` is true if few commits meet it, whatever the log. The clause is "" for a feed without such a
    condition.
    """

    clause: str
    values: tuple[tuple[str, object], ...]
    is_selective: bool


@functools.lru_cache(maxsize=FEEDS_MAX)
def term_filter(feed: Feed) -> TermFilter:
    """Return the condition on commits with events of a feed.

    It has the conditions on whole values of indexed fields. The others are checked on each event.
    """
    conditions = [each for each in (*feed.conditions, *feed.filters) if isinstance(each, Equal | AnyOf)]
    terms = [
        (_MEMBERS[each.field], [each.value] if isinstance(each, Equal) else sorted(each.values))
        for each in conditions
        if each.field in _MEMBERS
    ]
    equal = {each.field: each.value for each in conditions if isinstance(each, Equal)}
    if "org" in equal and "app" in equal:
        terms.append(("apps", [app_term(equal["org"], equal["app"])]))
    clauses, values = list[str](), dict[str, object]()
    for number, (member, texts) in enumerate(terms):
        clause, more = has_any(member, texts, name=f"f{number}")
        clauses.append(clause)
        values |= more
    is_selective = any(each.field in _SELECTIVE for each in conditions)
    return TermFilter(" AND ".join(clauses), tuple(values.items()), is_selective)


def has_any(member: str, texts: Sequence[str], *, name: str) -> tuple[str, Mapping[str, object]]:
    """Return the clause for commits with one of these terms, and its values. The index answers each equality."""
    values = {f"{name}_{index}": text for index, text in enumerate(texts)}
    clauses = [f"ARRAY_CONTAINS(c.{member}, @{each})" for each in values]
    return clauses[0] if len(clauses) == 1 else f"({' OR '.join(clauses) or 'false'})", values


def value_list(name: str, values: Sequence[object]) -> tuple[str, Mapping[str, object]]:
    """Return a parameter for each of these values, for an IN, and the values by parameter."""
    names = [f"{name}{index}" for index in range(len(values))]
    return ", ".join(f"@{each}" for each in names), dict(zip(names, values, strict=True))
