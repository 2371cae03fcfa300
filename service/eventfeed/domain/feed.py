"""Feeds as data: conditions on named fields, who decides on visibility, and the page that a reader gets.

A feed and its filters are conditions. Memory and the engines translate fields, never feeds: a new feed is a function
here and a route.
"""

import functools
import itertools
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from eventfeed.domain.app_source import app_of
from eventfeed.domain.conditions import COMPUTED_FIELDS, AnyOf, Condition, Equal, Field, NoneOf, value_of
from eventfeed.domain.cursor import Cursor
from eventfeed.domain.event import App, Event
from eventfeed.domain.filters import type_conditions
from eventfeed.domain.page_entries import PageEntries
from eventfeed.domain.principal import Principal

# Contract section 5.
PAGE_EVENTS_DEFAULT = 50
PAGE_EVENTS_MAX = 1000
PAGE_BYTES_MAX = 8 * 1024 * 1024
# Each type is an index lookup of its own, and another for the types of apps.
TYPES_MAX = 50
# Each is compared with the source of each event.
SOURCES_MAX = 20
# A unit and its sub-units. Each is an index lookup of its own, and may need a decision.
SUBJECTS_MAX = 500
# Values that a scan excludes by name; it reads the rest and decides on each.
EXCLUSIONS_MAX = 500
# Feeds that are kept for the next request; one with many values has some 100 KB.
FEEDS_MAX = 256
# The subject of no event. It stands for an unknown person or organisation.
NOBODY = ""


class ByScope(msgspec.Struct, frozen=True):
    """Visibility: the caller's scope gives the right to the whole feed."""


class ByDecision(msgspec.Struct, frozen=True):
    """Visibility by the decision point, for `reader`, resource and party.

    `varies` is the field that differs among the events of the feed; None if both do.
    """

    reader: Principal
    varies: Literal["resource", "subject"] | None


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """A feed as one reader reads it.

    `conditions` select its events, `filters` those that the reader asks for, and `visibility` names who decides which
    of them the reader sees. `name` is the kind of feed, in one word. `is_audited`: the parties
    on each page are recorded.
    """

    name: str
    conditions: tuple[Condition, ...]
    visibility: ByScope | ByDecision = ByScope()
    filters: tuple[Condition, ...] = ()
    is_audited: bool = False

    @property
    def needs_events(self) -> bool:
        """True if a reader looks at each event: to decide on it, to compute a field, or to record its party."""
        return self.is_audited or isinstance(self.visibility, ByDecision) or bool(self.computed_conditions)

    @property
    def computed_conditions(self) -> Sequence[Condition]:
        """The conditions on fields that no engine stores."""
        return [each for each in (*self.conditions, *self.filters) if each.field in COMPUTED_FIELDS]

    def where(self, *filters: Condition) -> "Feed":
        """Return this feed with more filters."""
        return replace(self, filters=(*self.filters, *filters)) if filters else self

    def without_filters(self) -> "Feed":
        """Return this feed without its filters."""
        return replace(self, filters=())

    def matches(self, event: Event) -> bool:
        """True if the event is in the feed and passes its filters, visible or not."""
        return all(condition.holds(event) for condition in (*self.conditions, *self.filters))

    def without(self, hidden: Sequence[Event]) -> "Feed":
        """Return this feed without events that get the same decisions as these."""
        field = self.visibility.varies if isinstance(self.visibility, ByDecision) else None
        if field is None:
            return self
        values = {value_of(event, field) or "" for event in hidden}
        others = list[Condition]()
        for condition in self.filters:
            if isinstance(condition, NoneOf) and condition.field == field:
                values |= condition.values
            else:
                others.append(condition)
        return (
            self if len(values) > EXCLUSIONS_MAX else replace(self, filters=(*others, NoneOf(field, frozenset(values))))
        )


@functools.lru_cache(maxsize=FEEDS_MAX)
def app_feed(app: App) -> Feed:
    """Return the feed of one app's events."""
    return Feed(name="app", conditions=(Equal("org", app.org), Equal("app", app.name)))


def party_feed(subject: str, reader: Principal) -> Feed:
    """Return the feed of one party's events. Decisions need a resource, so events without one are not in it."""
    return unit_feed(frozenset({subject}), reader)


def unit_feed(subjects: frozenset[str], reader: Principal) -> Feed:
    """Return the feed of the events of a party and of others, such as a unit and its sub-units."""
    conditions = (subject_condition(subjects), NoneOf("resource", frozenset({""})))
    visibility = ByDecision(reader, "resource" if len(subjects) == 1 else None)
    return Feed(name="party", conditions=conditions, visibility=visibility)


def subject_condition(subjects: frozenset[str]) -> Equal | AnyOf:
    """Return the condition that an event has one of these subjects."""
    if len(subjects) == 1:
        (subject,) = subjects
        return Equal("subject", subject)
    return AnyOf("subject", subjects)


def reportee_feed(types: Collection[str]) -> Feed:
    """Return the feed of every party's events of these types: at least one, and none with a wildcard."""
    return Feed(name="reportees", conditions=type_conditions(types, of_apps=False))


def instance_feed(guid: str, party: str | None) -> Feed:
    """Return the feed of one instance's events: `guid` in lower case, `party` if the reader named it."""
    named_party = () if party is None else (Equal("instance_party", party),)
    return Feed(name="instance", conditions=(Equal("instance", guid), *named_party))


def resource_feed(resource: str, reader: Principal, *, is_owner: bool = False) -> Feed:
    """Return the feed of one resource's events. The resource of an app selects the app's events.

    The owner of the resource sees all of them: the organisation of the app, or else the reader if `is_owner` is true.
    """
    app = app_of(resource)
    conditions = (Equal("resource", resource),) if app is None else app_feed(app).conditions
    if is_owner or (app is not None and app.org == reader.org):
        return Feed(name="resource", conditions=conditions)
    return Feed(name="resource", conditions=conditions, visibility=ByDecision(reader, "subject"))


class IndexPlan(NamedTuple):
    """An index, by its fields, the `keys` to look up in it, which share no entry, and the conditions left to check."""

    fields: tuple[Field, ...]
    keys: Sequence[tuple[str, ...]]
    rest: Sequence[Condition]


def plan_lookup(feed: Feed, indexes: Sequence[tuple[Field, ...]]) -> IndexPlan:
    """Choose the first index whose fields the feed fixes. Raises `LookupError` if there is none."""
    conditions = (*feed.conditions, *feed.filters)
    by_field = dict[Field, Equal | AnyOf]()
    for condition in conditions:
        if isinstance(condition, Equal | AnyOf):
            by_field.setdefault(condition.field, condition)
    for fields in indexes:
        if all(field in by_field for field in fields):
            covering = [by_field[field] for field in fields]
            values = [[each.value] if isinstance(each, Equal) else sorted(each.values) for each in covering]
            rest = [condition for condition in conditions if condition not in covering]
            return IndexPlan(fields, list(itertools.product(*values)), rest)
    raise LookupError(feed.name)


class PageBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a page: at most `size` events of `bytes_max`, registered in [`since`, `until`) (µs).

    A page has at least one event, however long.
    """

    size: int
    since: int | None = None
    until: int | None = None
    bytes_max: int = PAGE_BYTES_MAX


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Entries in order, `cursor` at the last position examined, and `more`: true if another request gets further.

    `positions` holds the entries' sequences, 8 bytes each. Entries never change, so in one log they identify the page.
    `oldest_time` is the registration of the oldest entry (µs) if the request asks for events from before the retention.
    """

    entries: PageEntries
    cursor: Cursor
    more: bool
    positions: bytes
    oldest_time: int | None = None
