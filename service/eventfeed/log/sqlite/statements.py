"""SQL for scans: the conditions of a feed as searches of indexes, each in the order of the log."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, assert_never

import msgspec

from eventfeed.domain.conditions import AnyOf, Condition, Equal, Field, Matches, NoneOf
from eventfeed.domain.feed import FEEDS_MAX, Feed, plan_lookup
from eventfeed.log.sqlite.rows import COLUMNS

# Index by its fields, the narrowest first. Every index ends in the sequence.
INDEXES: Mapping[tuple[Field, ...], str] = {
    ("id",): "entry_id",
    ("instance",): "entry_instance",
    ("subject",): "entry_subject",
    ("org", "app", "type"): "entry_app_type",
    ("org", "app"): "entry_app",
    ("resource",): "entry_resource",
    ("type",): "entry_type",
}
# SQLite uses this partial index only with its own condition.
_PARTIAL = {"entry_resource": ("app IS NULL",)}

# A part of a page as one row: the log start, the columns of its entries, and their JSON as one text.
_PART = """
SELECT (SELECT floor FROM log), json_group_array(sequence), json_group_array(time), json_group_array(mark),
       json_group_array(length), CAST(group_concat(json) AS BLOB) FROM ({})
"""
# `Entry.json`, from the body as stored.
_JSON = """substr(body, 1, length(body) - 1) || printf(',"sequence":"%020d"}', sequence) AS json"""
_PART_COLUMNS = f"sequence, time, mark, length(body) AS length, {_JSON}"
_LENGTHS = "SELECT json_group_array(length) FROM ({})"

Values = dict[str, Any]  # of bindings: texts and numbers


class Search(NamedTuple):
    """A search of one index for keys, which share no row, and the conditions to check on each row."""

    index_name: str
    fields: tuple[Field, ...]
    keys: Sequence[tuple[str, ...]]
    rest: Sequence[Condition]


def plan_search(feed: Feed) -> Search:
    """Return the search of a feed."""
    plan, computed = plan_lookup(feed, list(INDEXES)), feed.computed_conditions
    rest = [condition for condition in plan.rest if condition not in computed]
    return Search(INDEXES[plan.fields], plan.fields, plan.keys, rest)


class ScanStatements(NamedTuple):
    """SQL for the scans of a feed, and their values: its rows, their lengths, a part of a page, and `reach_statement`.

    `reach` is None if no condition is left to check on a row.
    """

    rows: str
    lengths: str
    part: str
    values: Values
    reach: str | None
    keys: int


@functools.lru_cache(maxsize=FEEDS_MAX)
def scan_statements(feed: Feed) -> ScanStatements:
    """Return the statements of a feed."""
    search = plan_search(feed)
    rows, values = scan_statement(search, COLUMNS)
    lengths, _ = scan_statement(search, "length(body) AS length")
    part, _ = scan_statement(search, _PART_COLUMNS)
    reach, _ = reach_statement(search)
    return ScanStatements(
        rows, _LENGTHS.format(lengths), _PART.format(part), values, reach if search.rest else None, len(search.keys)
    )


def scan_statement(search: Search, columns: str) -> tuple[str, Values]:
    """Return SQL for columns of the first `:limit` rows of a search in (`:after`, `:through`], and its values.

    Each key is a search of its own in the order of the log, however many there are: the SQL is the same.
    """
    where, values = _where(search, search.rest)
    if len(search.keys) == 1:
        return f"SELECT {columns} FROM entry {where} ORDER BY sequence LIMIT :limit", values  # noqa: S608  # constants
    of_key = f"SELECT sequence FROM entry {where} ORDER BY sequence LIMIT :limit"  # noqa: S608  # constants
    # Sequences first: so no body goes through a sort.
    sequences = (
        "SELECT found.value FROM json_each(:keys) lookup, "  # noqa: S608  # constants
        f"json_each((SELECT json_group_array(sequence) FROM ({of_key}))) found ORDER BY found.value LIMIT :limit"
    )
    return f"SELECT {columns} FROM entry WHERE sequence IN ({sequences}) ORDER BY sequence", values  # noqa: S608  # constants


def reach_statement(search: Search) -> tuple[str, Values]:
    """Return SQL for the first sequence after `:examine` rows of any key, without the conditions, and the values."""
    where, values = _where(search, ())
    of_key = f"SELECT sequence FROM entry {where} ORDER BY sequence LIMIT 1 OFFSET :examine"  # noqa: S608  # constants
    if len(search.keys) == 1:
        return of_key, values
    return f"SELECT min(({of_key})) FROM json_each(:keys) lookup", values  # noqa: S608  # constants


def _where(search: Search, conditions: Sequence[Condition]) -> tuple[str, Values]:
    """Return index and conditions of a search for one key: of several, the key in the row `lookup`."""
    if len(search.keys) == 1:
        keys: Sequence[Condition] = [
            Equal(field, value) for field, value in zip(search.fields, search.keys[0], strict=True)
        ]
        clauses, values = list[str](), Values()
    else:
        keys = ()
        clauses = [f"{field} = lookup.value ->> {number}" for number, field in enumerate(search.fields)]
        values = {"keys": msgspec.json.encode(search.keys).decode()}
    for number, condition in enumerate((*keys, *conditions)):
        name = f"c{number}"
        clause, values[name] = _translate(condition, f":{name}")
        clauses.append(clause)
    clauses += [*_PARTIAL.get(search.index_name, ()), "sequence > :after", "sequence <= :through"]
    return f"INDEXED BY {search.index_name} WHERE {' AND '.join(clauses)}", values


def _translate(condition: Condition, name: str) -> tuple[str, object]:
    """Return the clause of a condition with its value as `name`, and the value."""
    field = condition.field
    match condition:
        case Equal(value=value):
            return f"{field} = {name}", value
        case Matches():
            return _matches(condition, name)
        case AnyOf(values=values):
            return f"{field} IN (SELECT value FROM json_each({name}))", _json(values)  # noqa: S608  # constants
        case NoneOf(values=values):
            return f"coalesce({field}, '') NOT IN (SELECT value FROM json_each({name}))", _json(values)  # noqa: S608
        case _:
            assert_never(condition)


def _matches(condition: Matches, name: str) -> tuple[str, str]:
    """Translate `Matches`: its texts are one JSON object."""
    field, texts = condition.field, {"values": condition.values, "prefixes": condition.prefixes}
    clause = _has_text(field, name, values="values", prefixes="prefixes")
    if condition.app_prefix:
        texts |= {"app_values": condition.app_values, "app_prefixes": condition.app_prefixes}
        of_app = _has_text(field, name, values="app_values", prefixes="app_prefixes")
        clause = f"({clause} OR (app IS NOT NULL AND {of_app}))"
    return clause, msgspec.json.encode(texts, order="deterministic").decode()


def _has_text(field: Field, name: str, *, values: str, prefixes: str) -> str:
    # `json_each` has columns of its own named `id` and `type`.
    return (
        f"({field} IN (SELECT value FROM json_each({name}, '$.{values}')) OR EXISTS (SELECT 1 "  # noqa: S608  # constants
        f"FROM json_each({name}, '$.{prefixes}') WHERE substr(entry.{field}, 1, length(value)) = value))"
    )


def _json(values: frozenset[str]) -> str:
    return msgspec.json.encode(sorted(values)).decode()
