"""Feeds: which entries belong together for a reader, what it asks of them, and the page it gets."""

import re
from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from eventfeed.domain.cursor import Bare, Cursor, EventId
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.event import App, Entry, Event, party_named, party_of_instance
from eventfeed.domain.principal import Principal

# Contract section 5.
PAGE_EVENTS_DEFAULT = 50
PAGE_EVENTS_MAX = 1000
PAGE_BYTES_MAX = 8 * 1024 * 1024
# Each type is a search of its own in the store.
TYPES_MAX = 50

# What a search leaves out by name, once it was decided on; beyond this it looks at each.
BUT_MAX = 500

# Decisions are remembered by their resource, and asked for by many at once.
RESOURCE_LETTERS_MAX = 1_000
_URN = re.compile(r"urn:[a-z0-9][a-z0-9-]*:\S+", re.IGNORECASE)

# The subject of no event: what an unknown person or organisation is resolved to.
NOBODY = ""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the decision point is asked for a caller: may it read this resource's events of this party?

    `party` is None for an event whose subject is none.
    """

    resource: str
    party: str | None


# What was decided: a question that is not in it got no answer, and None is of one that nobody can decide on now.
Verdicts = Mapping[Question, bool | None]


class Undecided(Unavailable):
    """Some questions have no answer; `verdicts` has the others'."""

    def __init__(self, verdicts: Verdicts) -> None:
        super().__init__("The decision point left questions unanswered.")
        self.verdicts = verdicts


class AppFeed(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one app."""

    app: App

    def holds(self, event: Event) -> bool:
        """Whether the event belongs to this feed."""
        return event.app == self.app


class PartyFeed(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one party that `reader` may see. An event without a resource is nobody's to decide on."""

    subject: str
    reader: Principal

    def holds(self, event: Event) -> bool:
        """Whether the event belongs to this feed, seen or not."""
        return event.subject == self.subject and event.resource is not None


class ReporteeFeed(msgspec.Struct, frozen=True, kw_only=True):
    """The events of every party, of these types: at least one."""

    types: frozenset[str]

    def holds(self, event: Event) -> bool:
        """Whether the event belongs to this feed."""
        return event.type in self.types


class InstanceFeed(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one instance: `guid` in lower case, and `party` when the reader knows it."""

    guid: str
    party: str | None

    def holds(self, event: Event) -> bool:
        """Whether the event belongs to this feed."""
        return event.instance == self.guid and (self.party is None or party_of_instance(event) == self.party)


class ResourceFeed(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one resource that `reader` may see."""

    resource: str
    reader: Principal

    def holds(self, event: Event) -> bool:
        """Whether the event belongs to this feed, seen or not."""
        return event.resource == self.resource


Feed = AppFeed | PartyFeed | ReporteeFeed | InstanceFeed | ResourceFeed


def question_of(event: Event) -> Question | None:
    """What must be decided before this event is shown; None when nobody can say: no resource, or none that has a name.

    A point may stay silent on what it cannot understand, and then the events after that one wait.
    """
    resource = event.resource
    if resource is None or len(resource) > RESOURCE_LETTERS_MAX or not _URN.fullmatch(resource):
        return None
    return Question(resource=resource, party=party_named(event.subject))


_NAMES: Mapping[type[Feed], str] = {
    AppFeed: "app",
    PartyFeed: "party",
    ReporteeFeed: "reportees",
    InstanceFeed: "instance",
    ResourceFeed: "resource",
}


def name_of(feed: Feed) -> str:
    """The kind of a feed, in a word."""
    return _NAMES[type(feed)]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader wants of a feed. All that is given must hold; an empty filter lets everything through.

    `types` any of them, `source` a prefix, `subject` exactly, `id` exactly; no event with a resource in
    `but_resources` or a subject in `but_subjects` ("" stands for none).
    """

    types: frozenset[str] = frozenset()
    source: str | None = None
    subject: str | None = None
    id: str | None = None
    but_resources: frozenset[str] = frozenset()
    but_subjects: frozenset[str] = frozenset()

    @property
    def only_types(self) -> bool:
        """Whether nothing is wanted but types, if anything."""
        return self.source is self.subject is self.id is None and not self.but_resources and not self.but_subjects

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        return (
            (not self.types or event.type in self.types)
            and (self.subject is None or event.subject == self.subject)
            and (self.source is None or event.identity.source.startswith(self.source))
            and (self.id is None or event.identity.id == self.id)
            and event.resource not in self.but_resources
            and (event.subject or "") not in self.but_subjects
        )


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A feed and what is wanted of it."""

    feed: Feed
    filter: Filter = Filter()

    def matches(self, event: Event) -> bool:
        """Whether the event is in the feed and wanted."""
        return self.feed.holds(event) and self.filter.matches(event)

    def without(self, hidden: Sequence[Event]) -> "Query":
        """This query without events that are decided like these: of the same resource and party."""
        wanted = self.filter
        match self.feed:
            case PartyFeed():
                others = [event.resource for event in hidden if event.resource is not None]
                wanted = replace(wanted, but_resources=_more(wanted.but_resources, others))
            case ResourceFeed():
                subjects = [event.subject or "" for event in hidden]
                wanted = replace(wanted, but_subjects=_more(wanted.but_subjects, subjects))
            case _:
                return self
        return replace(self, filter=wanted)


class PageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What one read asks for: at most `size` matches after a place, registered in [`since`, `until`) (µs)."""

    query: Query
    size: int
    after: Cursor | Bare | EventId = Bare(position=0)
    since: int | None = None
    until: int | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Entries in order; `cursor` the last position examined; `more` whether asking again at once gets further.

    `places` are those of the entries, 8 bytes each: entries never change, so in one log they stand for their text.
    """

    entries: Sequence[Entry]
    cursor: Cursor
    more: bool
    places: bytes


def _more(names: frozenset[str], others: Sequence[str]) -> frozenset[str]:
    together = names.union(others)
    return together if len(together) <= BUT_MAX else names
