"""Filters of readers as conditions: types with wildcards, sources by segments of their paths (contract section 5)."""

import re
from collections.abc import Collection

from eventfeed.domain.conditions import AnyOf, Condition, Matches
from eventfeed.domain.uri import is_uri

# Apps name their types with and without it.
APP_TYPE_PREFIX = "app."

_WILDCARD = re.compile("[*%]")
# The characters of a URI with its escapes (RFC 3986 §2), and a wildcard at the end.
_SOURCE_PREFIX = re.compile(r"(?:[A-Za-z0-9._~!$&'()+,;=:@/?#\[\]-]|%[0-9A-Fa-f]{2})*+[*%]")


def is_exact(text: str) -> bool:
    """True if a type has no wildcard."""
    return not _WILDCARD.search(text)


def is_type_filter(text: str) -> bool:
    """True if a text has no wildcard before its end."""
    return is_exact(text[:-1])


def is_source_filter(text: str) -> bool:
    """True for a URI, and for the beginning of one with a wildcard at its end."""
    return _SOURCE_PREFIX.fullmatch(text) is not None or (is_uri(text) and "*" not in text)


def type_conditions(types: Collection[str], *, of_apps: bool) -> tuple[Condition, ...]:
    """Return the conditions for events of these types; `of_apps` is true of a feed that has only events of apps.

    The type of an app's event may have `app.` in front of the type in the filter.
    """
    if not types:
        return ()
    values = frozenset(filter(is_exact, types))
    prefixes = frozenset(each[:-1] for each in types if not is_exact(each))
    matches = Matches("type", values, prefixes, app_prefix=APP_TYPE_PREFIX)
    if prefixes:
        return (matches,)
    any_of = AnyOf("type", values | matches.app_values)  # an index finds these
    return (any_of,) if of_apps else (any_of, matches)


def source_conditions(sources: Collection[str]) -> tuple[Condition, ...]:
    """Return the condition for events of these sources and of those below them."""
    if not sources:
        return ()
    values = frozenset(each for each in sources if not each.endswith(("*", "%")))
    below = {each if each.endswith("/") else f"{each}/" for each in values}
    prefixes = frozenset(each[:-1] for each in sources if each not in values)
    return (Matches("source", values, prefixes | below),)
