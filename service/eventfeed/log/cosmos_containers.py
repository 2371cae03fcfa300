"""The containers of a log in Cosmos DB: the one description that the engine, the emulators and `infra/` use.

Only what is queried is indexed. Bodies, marks and digests of content are not.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

# Never older than what is shown; an entry is out of sight for this long before it may go.
TTL_MARGIN_SECONDS = 3_600

EVENTS, CONTROL, ACCESS = "events", "control", "access"

# Searched alone or beside `sequence`. A feed's conditions are equalities; `source` is a prefix.
_SEARCHED = (
    "sequence",
    "time",
    "identity",
    "eventid",
    "source",
    "type",
    "subject",
    "org",
    "app",
    "instance",
    "resource",
)
# What a feed fixes, with `sequence` last, so that its matches are one stretch of the index, in order.
_TOGETHER = (
    ("org", "app", "sequence"),
    ("org", "app", "type", "sequence"),
    ("subject", "sequence"),
    ("type", "sequence"),
    ("resource", "sequence"),
    ("instance", "sequence"),
    # Where a time begins.
    ("time", "sequence"),
)


class Container(NamedTuple):
    """A container: its partition key, what is indexed, and whether its documents age (s; None: never)."""

    name: str
    partition_key: str
    indexing: Mapping[str, object]
    ttl_seconds: int | None = None


def containers(*, keep_seconds: int) -> Sequence[Container]:
    """The containers of a log that shows its entries for `keep_seconds`."""
    return (
        Container(EVENTS, "/segment", _indexing(_SEARCHED, _TOGETHER), keep_seconds + TTL_MARGIN_SECONDS),
        Container(CONTROL, "/kind", _indexing((), ())),
        Container(ACCESS, "/kind", _indexing(("time", "organisation"), ())),
    )


def _indexing(searched: Sequence[str], together: Sequence[Sequence[str]]) -> Mapping[str, object]:
    return {
        "indexingMode": "consistent",
        "automatic": True,
        "includedPaths": [{"path": f"/{name}/?"} for name in searched],
        "excludedPaths": [{"path": "/*"}],
        "compositeIndexes": [[{"path": f"/{name}", "order": "ascending"} for name in names] for names in together],
    }
