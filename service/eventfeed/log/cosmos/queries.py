"""Conditions of a feed in the query language of Cosmos DB. Every value is a parameter."""

from collections.abc import Mapping, Sequence
from typing import assert_never

from eventfeed.domain.conditions import COMPUTED_FIELDS, AnyOf, Condition, Equal, Field, Matches, NoneOf
from eventfeed.domain.feed import Feed

Values = Mapping[str, object]

# Member of a document by field, where the names differ.
_MEMBERS: Mapping[Field, str] = {"id": "eventid"}


def feed_clause(feed: Feed) -> tuple[str, Values]:
    """Return the clause for the documents of a feed that pass its filters, and the values of its parameters."""
    clauses, values = list[str](), dict[str, object]()
    for number, condition in enumerate((*feed.conditions, *feed.filters)):
        if condition.field not in COMPUTED_FIELDS:
            clause, more = _translate(condition, f"f{number}")
            clauses.append(clause)
            values |= more
    return " AND ".join(clauses), values


def value_list(name: str, values: Sequence[object]) -> tuple[str, Values]:
    """Return a parameter for each of these values, for an IN, and the values by parameter."""
    names = [f"{name}{index}" for index in range(len(values))]
    return ", ".join(f"@{each}" for each in names), dict(zip(names, values, strict=True))


def _translate(condition: Condition, name: str) -> tuple[str, Values]:
    member = f"c.{_MEMBERS.get(condition.field, condition.field)}"
    match condition:
        case Equal(value=value):
            return f"{member} = @{name}", {name: value}
        case Matches():
            return _matches(member, condition, name=name)
        case AnyOf(values=values):
            names, parameters = value_list(f"{name}_", sorted(values))
            return f"{member} IN ({names})", parameters
        case NoneOf(values=values):
            return _none_of(member, values, name=name)
        case _:
            assert_never(condition)


def _matches(member: str, condition: Matches, *, name: str) -> tuple[str, Values]:
    """Translate `Matches`; `IS_STRING(c.app)` is true for events of apps. Nested parentheses would cost the parser."""
    clauses, values = _has_text(member, f"{name}_", values=condition.values, prefixes=condition.prefixes)
    if condition.app_prefix:
        of_app, more = _has_text(member, f"{name}_app_", values=condition.app_values, prefixes=condition.app_prefixes)
        clauses, values = [*clauses, *(f"IS_STRING(c.app) AND {each}" for each in of_app)], {**values, **more}
    return clauses[0] if len(clauses) == 1 else f"({' OR '.join(clauses) or 'false'})", values


def _has_text(
    member: str, name: str, *, values: frozenset[str], prefixes: frozenset[str]
) -> tuple[Sequence[str], Values]:
    names, parameters = value_list(f"{name}value", sorted(values))
    starts = {f"{name}prefix{index}": prefix for index, prefix in enumerate(sorted(prefixes))}
    clauses = [f"STARTSWITH({member}, @{each})" for each in starts]
    if names:
        clauses.append(f"{member} IN ({names})")
    return clauses, {**parameters, **starts}


def _none_of(member: str, values: frozenset[str], *, name: str) -> tuple[str, Values]:
    """Translate `NoneOf`, in which "" stands for an absent member."""
    present = [f"IS_STRING({member})"] if "" in values else []
    names, parameters = value_list(f"{name}_", sorted(values - {""}))
    exclusion = [f"(NOT IS_DEFINED({member}) OR NOT ({member} IN ({names})))"] if parameters else []
    return " AND ".join([*present, *exclusion]), parameters
