"""Feeds: which entries belong together for a reader, what it asks of them, and the page it gets."""

from collections.abc import Sequence

import msgspec

from eventfeed.domain.cursor import Bare, Cursor, EventId
from eventfeed.domain.event import App, Entry, Event

# Contract section 5.
PAGE_EVENTS_DEFAULT = 50
PAGE_EVENTS_MAX = 1000
PAGE_BYTES_MAX = 8 * 1024 * 1024
# Each type is a search of its own in the store.
TYPES_MAX = 50

# The subject of no event: what an unknown person or organisation is resolved to.
NOBODY = ""


class AppFeed(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one app."""

    app: App

    def holds(self, event: Event) -> bool:
        """Whether the event belongs to this feed."""
        return event.app == self.app


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader wants of a feed. All that is given must hold; an empty filter lets everything through.

    `types` any of them, `source` a prefix, `subject` exactly, `id` exactly.
    """

    types: frozenset[str] = frozenset()
    source: str | None = None
    subject: str | None = None
    id: str | None = None

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        return (
            (not self.types or event.type in self.types)
            and (self.subject is None or event.subject == self.subject)
            and (self.source is None or event.identity.source.startswith(self.source))
            and (self.id is None or event.identity.id == self.id)
        )


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A feed and what is wanted of it."""

    feed: AppFeed
    filter: Filter = Filter()

    def matches(self, event: Event) -> bool:
        """Whether the event is in the feed and wanted."""
        return self.feed.holds(event) and self.filter.matches(event)


class PageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What one read asks for: at most `size` matches after a place, registered in [`since`, `until`) (µs)."""

    query: Query
    size: int
    after: Cursor | Bare | EventId = Bare(position=0)
    since: int | None = None
    until: int | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Entries in order; `cursor` the last position examined; `more` whether asking again at once gets further."""

    entries: Sequence[Entry]
    cursor: Cursor
    more: bool
