"""The index rules of Azure Cosmos DB, for the queries of this project: a query that would scan has a fault.

Sources: https://learn.microsoft.com/azure/cosmos-db/index-policy and index-overview. The rules:

- Equality, IN, ranges, STARTSWITH and ARRAY_CONTAINS use the range index of their path: `/name/?`, and `/name/[]/?` for
  the elements of an array. Without it every document is loaded.
- The partition key has an index only if the policy includes it. `/id` and `/_ts` always have one.
- Other functions and negations use no index here. They may check what a filter on `id` has selected.
- An ORDER BY of one property needs its range index, and one of several the composite index of exactly these properties,
  in the same or in the opposite order.
- An equality filter on another property serves an ORDER BY only through a composite index that begins with it. Without
  one the store goes through the index of the order, so that a filter must say where it begins: a lower bound for an
  ascending order, an upper bound for a descending one. A filter on `id` has few results in any order.
- A composite path leads to a scalar value, so it has neither `[]` nor a wildcard here, and no `/?`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

_QUERY = re.compile(
    r"SELECT (?:TOP \d+ )?(?P<columns>.+?) FROM c(?: WHERE (?P<filters>.+?))?(?: ORDER BY (?P<order>[^()]+))?",
    re.DOTALL,
)
_VALUE = r"(?:@\w+|-?\d+|'[^']*')"
_EQUAL = re.compile(rf"c\.(\w+) (?:= {_VALUE}|IN \({_VALUE}(?:, {_VALUE})*\))")
_RANGE = re.compile(rf"c\.(\w+) (>=?|<=?) {_VALUE}")
_PREFIX = re.compile(rf"STARTSWITH\(c\.(\w+), {_VALUE}\)")
_ELEMENT = re.compile(rf"ARRAY_CONTAINS\(c\.(\w+), {_VALUE}\)")
_ORDER = re.compile(r"c\.(\w+)(?: (ASC|DESC))?")
_ALWAYS = frozenset({"/id/?", "/_ts/?"})


class Filter(NamedTuple):
    """A condition that every result meets.

    `paths` are the paths whose index it uses, "" for none. `equal` is the property that it fixes, `lower` and `upper`
    those that it bounds; "" for none.
    """

    text: str
    paths: Sequence[str]
    equal: str = ""
    lower: str = ""
    upper: str = ""


class Query(NamedTuple):
    """A query: its filters, and the properties of its order with their directions."""

    filters: Sequence[Filter]
    order: Sequence[tuple[str, str]]

    @property
    def equal(self) -> frozenset[str]:
        """The properties that a filter fixes."""
        return frozenset(each.equal for each in self.filters if each.equal)


def parse(sql: str) -> Query:
    """Parse a query of this project. Raises `ValueError` for another kind of query."""
    match = _QUERY.fullmatch(sql.strip())
    if match is None:
        raise ValueError(f"not understood: {sql}")
    filters = [_filter(each) for each in _split(match["filters"] or "", " AND ")]
    return Query(filters, [_direction(each) for each in _split(match["order"] or "", ", ")])


def _split(text: str, separator: str) -> Iterator[str]:
    """Yield the parts of a text, cut at separators outside of parentheses."""
    part, depth = "", 0
    for piece in re.split(f"({re.escape(separator)})", text):
        if piece == separator and depth == 0:
            yield part
            part = ""
        else:
            part += piece
            depth += piece.count("(") - piece.count(")")
    if part:
        yield part


def _filter(text: str) -> Filter:
    if match := _EQUAL.fullmatch(text):
        return Filter(text, [f"/{match[1]}/?"], equal=match[1])
    if match := _RANGE.fullmatch(text):
        lower, upper = (match[1], "") if match[2].startswith(">") else ("", match[1])
        return Filter(text, [f"/{match[1]}/?"], lower=lower, upper=upper)
    if match := _PREFIX.fullmatch(text):
        return Filter(text, [f"/{match[1]}/?"], lower=match[1], upper=match[1])
    if match := _ELEMENT.fullmatch(text):
        return Filter(text, [f"/{match[1]}/[]/?"])
    if text.startswith("(") and text.endswith(")"):
        # Every alternative must use an index; together they bound nothing.
        parts = [_filter(each) for each in _split(text[1:-1], " OR ")]
        return Filter(text, [path for each in parts for path in each.paths])
    return Filter(text, [""])


def _direction(text: str) -> tuple[str, str]:
    match = _ORDER.fullmatch(text)
    if match is None:
        raise ValueError(f"not understood: ORDER BY {text}")
    return match[1], match[2] or "ASC"


def scan_faults(sql: str, policy: Mapping[str, Any]) -> Sequence[str]:
    """Return the reasons why a query scans a container with this indexing policy."""
    query, indexes = parse(sql), {each["path"] for each in policy["includedPaths"]} | _ALWAYS
    if not query.filters:
        return ["it has no filter"]
    without_index = [each for each in query.filters if not set(each.paths) <= indexes]
    faults = [] if "id" in query.equal else [f"{each.text} has no index" for each in without_index]
    return [*faults, *_order_faults(query, policy, indexes=indexes)]


def _order_faults(query: Query, policy: Mapping[str, Any], *, indexes: set[str]) -> Iterator[str]:
    if not query.order:
        return
    names = [name for name, _ in query.order]
    if len(names) == 1 and f"/{names[0]}/?" not in indexes:
        yield f"ORDER BY c.{names[0]} needs the range index /{names[0]}/?"
    if len(names) > 1 and not any(_supports(each, query.order) for each in policy["compositeIndexes"]):
        yield f"ORDER BY {', '.join(names)} needs a composite index of these properties"
    first, direction = query.order[0]
    others = query.equal - set(names)
    begins = any((each.lower if direction == "ASC" else each.upper) == first for each in query.filters)
    if others and "id" not in query.equal and not begins:
        yield (
            f"ORDER BY c.{first} {direction} with a filter on {', '.join(sorted(others))} needs a composite index that "
            "begins with it, or a bound at which the order begins"
        )


def _supports(index: Sequence[Mapping[str, str]], order: Sequence[tuple[str, str]]) -> bool:
    paths = [each["path"] for each in index]
    same = ["ASC" if each["order"] == "ascending" else "DESC" for each in index]
    opposite = ["DESC" if each == "ASC" else "ASC" for each in same]
    return paths == [f"/{name}" for name, _ in order] and [each for _, each in order] in (same, opposite)


def policy_faults(policy: Mapping[str, Any]) -> Sequence[str]:
    """Return the faults of an indexing policy that a container with only listed paths cannot have."""
    single = [each["path"] for each in policy["includedPaths"]]
    composite = [each["path"] for index in policy["compositeIndexes"] for each in index]
    return [
        *(f"{path} does not lead to a scalar value" for path in single if not path.endswith("/?")),
        *(f"composite path {path} is no scalar property" for path in composite if re.search(r"[\[\]*?]", path)),
        *([] if {"path": "/*"} in policy["excludedPaths"] else ["/* is not excluded"]),
    ]


def index_terms(document: Mapping[str, Any], policy: Mapping[str, Any]) -> int:
    """Return the number of index terms of a document: each different value of each path, and each composite index.

    A path that the document lacks has one term, undefined.
    """
    paths = {each["path"] for each in policy["includedPaths"]} | _ALWAYS
    return sum(_terms_of(document, path) for path in paths) + len(policy["compositeIndexes"])


def _terms_of(document: Mapping[str, Any], path: str) -> int:
    name = path.split("/")[1]
    value = document.get(name)
    return max(1, len(set(value))) if path.endswith("/[]/?") and isinstance(value, list) else 1
