"""The checker of access paths decides Microsoft's own examples, and refuses queries that would scan."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.support.index_rules import index_terms, parse, policy_faults, scan_faults


def policy(paths: Sequence[str] = (), *composite: Sequence[str]) -> Mapping[str, Any]:
    """An indexing policy with only these paths; a composite path ends with " DESC" to be descending."""
    return {
        "includedPaths": [{"path": path} for path in paths],
        "excludedPaths": [{"path": "/*"}],
        "compositeIndexes": [
            [
                {"path": path.split()[0], "order": "descending" if path.endswith("DESC") else "ascending"}
                for path in index
            ]
            for index in composite
        ],
    }


def select(filters: str, order: str) -> str:
    """A query with these filters and this order."""
    return f"SELECT * FROM c WHERE {filters} ORDER BY {order}"  # noqa: S608  # constants of this test


RANGES = ("/name/?", "/age/?", "/timestamp/?", "/tags/[]/?")


@pytest.mark.parametrize(
    ("composite", "order", "is_supported"),
    [
        (("/name", "/age"), "c.name ASC, c.age ASC", True),
        (("/name", "/age"), "c.age ASC, c.name ASC", False),
        (("/name", "/age"), "c.name DESC, c.age DESC", True),
        (("/name", "/age"), "c.name ASC, c.age DESC", False),
        (("/name", "/age DESC"), "c.name ASC, c.age DESC", True),
        (("/name", "/age", "/timestamp"), "c.name ASC, c.age ASC, c.timestamp ASC", True),
        (("/name", "/age", "/timestamp"), "c.name ASC, c.age ASC", False),
    ],
)
def test_order_by_several_properties_needs_their_composite_index(
    composite: Sequence[str], order: str, *, is_supported: bool
) -> None:
    """Microsoft's table of "ORDER BY queries on multiple properties"."""
    faults = scan_faults(select("c.age > 1", order), policy(RANGES, composite))

    assert is_supported == (not any("composite index of these properties" in each for each in faults))


@pytest.mark.parametrize(
    ("filters", "order", "is_supported"),
    [
        ("c.name = @name", "c.name, c.timestamp", True),
        ("c.name = @name AND c.timestamp > @time", "c.name, c.timestamp", True),
        ("c.name = @name", "c.timestamp, c.name", False),
        ("c.name = @name", "c.timestamp", False),
        # Without a composite index, but the order begins at a bound.
        ("c.name = @name AND c.timestamp > @time", "c.timestamp", True),
        ("c.name = @name AND c.timestamp < @time", "c.timestamp DESC", True),
        ("c.name = @name AND c.timestamp < @time", "c.timestamp", False),
        ("c.name = @name AND c.timestamp > @time", "c.timestamp DESC", False),
    ],
)
def test_equality_filter_serves_an_order_that_begins_with_it_or_at_a_bound(
    filters: str, order: str, *, is_supported: bool
) -> None:
    """Microsoft's table of "Queries with a filter and ORDER BY"."""
    faults = scan_faults(select(filters, order), policy(RANGES, ("/name", "/timestamp")))

    assert is_supported == (faults == [])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM c WHERE c.name = @name",
        "SELECT c.id FROM c WHERE c.name IN (@a, @b)",
        "SELECT TOP 5 c.id, c.name FROM c WHERE c.age >= 18 AND c.age < @b ORDER BY c.age",
        "SELECT VALUE c.age FROM c WHERE STARTSWITH(c.name, @prefix)",
        "SELECT * FROM c WHERE ARRAY_CONTAINS(c.tags, @a)",
        "SELECT * FROM c WHERE c.age > 1 AND (ARRAY_CONTAINS(c.tags, @a) OR ARRAY_CONTAINS(c.tags, @b)) ORDER BY c.age",
        "SELECT * FROM c WHERE c.id = @id AND IS_STRING(c.approval)",
        "SELECT * FROM c WHERE c.name = @name AND c.id IN (@a, @b) ORDER BY c.age",
        "SELECT * FROM c WHERE c._ts > 1",
    ],
)
def test_query_with_an_index_for_each_filter_and_its_order_has_no_fault(sql: str) -> None:
    """These are the forms that use a range index."""
    assert [] == scan_faults(sql, policy(RANGES))


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("SELECT * FROM c", "no filter"),
        ("SELECT * FROM c ORDER BY c.name", "no filter"),
        ("SELECT * FROM c WHERE c.segment = @segment", "c.segment = @segment has no index"),
        ("SELECT * FROM c WHERE c.name = @name AND c.body = @body", "c.body = @body has no index"),
        ("SELECT * FROM c WHERE c.tags = @tag", "c.tags = @tag has no index"),
        ("SELECT * FROM c WHERE ARRAY_CONTAINS(c.name, @name)", "has no index"),
        ("SELECT * FROM c WHERE c.age > @a AND (c.name = @a OR c.body = @b)", "has no index"),
        ("SELECT * FROM c WHERE c.age > @a AND (c.name = @a OR false)", "has no index"),
        ("SELECT * FROM c WHERE NOT c.name = @name", "has no index"),
        ("SELECT * FROM c WHERE CONTAINS(c.name, @name)", "has no index"),
        ("SELECT * FROM c WHERE UPPER(c.name) = @name", "has no index"),
        ("SELECT * FROM c WHERE ENDSWITH(c.name, @name)", "has no index"),
        ("SELECT * FROM c WHERE c.name = @name ORDER BY c.body", "needs the range index /body/?"),
        ("SELECT * FROM c WHERE c.age > @a ORDER BY c.age, c.name", "needs a composite index"),
    ],
)
def test_query_that_would_scan_is_refused(sql: str, fault: str) -> None:
    """The fault names the condition."""
    assert any(fault in each for each in scan_faults(sql, policy(RANGES)))


@pytest.mark.parametrize(
    "sql", ["DELETE FROM c", "SELECT * FROM c JOIN t IN c.tags", "SELECT * FROM c ORDER BY f(c.a)"]
)
def test_query_of_another_form_is_not_understood(sql: str) -> None:
    """A new form needs a rule first."""
    with pytest.raises(ValueError, match="not understood"):
        parse(sql)


@pytest.mark.parametrize(
    ("single", "composite", "fault"),
    [
        (["/tags/[]"], [], "does not lead to a scalar value"),
        (["/name"], [], "does not lead to a scalar value"),
        (["/name/?"], ["/name", "/tags/[]"], "is no scalar property"),
        (["/name/?"], ["/name", "/age/?"], "is no scalar property"),
        (["/name/?"], ["/name", "/*"], "is no scalar property"),
    ],
)
def test_impossible_path_of_a_policy_is_refused(single: Sequence[str], composite: Sequence[str], fault: str) -> None:
    """A wrong path would index nothing, or be refused by the service."""
    faults = policy_faults(policy(single, composite) if composite else policy(single))

    assert any(fault in each for each in faults)


def test_index_terms_of_a_document_are_its_different_values() -> None:
    """A path without a value has one term, and so has each composite index."""
    document = {"id": "1", "name": "a", "tags": ["x", "y", "x"], "body": "not indexed"}

    # id, _ts, name, age (undefined), timestamp (undefined), two tags, and the composite index.
    assert 8 == index_terms(document, policy(RANGES, ("/name", "/age")))
