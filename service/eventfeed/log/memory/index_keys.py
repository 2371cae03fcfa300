"""Index of the entries in memory: the keys of an event, and those that a feed is found by."""

from collections.abc import Sequence

from eventfeed.domain.conditions import Condition, Field, value_of
from eventfeed.domain.event import Event
from eventfeed.domain.feed import Feed, plan_lookup

# By the fields of their keys, the narrowest first. Only the last field of a key may hold spaces.
INDEXES: Sequence[tuple[Field, ...]] = (
    ("instance",),
    ("subject",),
    ("org", "app", "type"),
    ("org", "app"),
    ("resource",),
    ("type",),
)


def event_keys(event: Event) -> Sequence[str]:
    """Return the key of an event in each index that has its fields."""
    keys = list[str]()
    for fields in INDEXES:
        values = [value for field in fields if (value := value_of(event, field)) is not None]
        if len(values) == len(fields):
            keys.append(_key(fields, values))
    return keys


def feed_keys(feed: Feed) -> tuple[Sequence[str], Sequence[Condition]]:
    """Return keys of which each event of the feed has exactly one, and the conditions left to check."""
    plan = plan_lookup(feed, INDEXES)
    return [_key(plan.fields, values) for values in plan.keys], plan.rest


def _key(fields: Sequence[Field], values: Sequence[str]) -> str:
    return " ".join((fields[-1], str(len(fields)), *values))
