"""What events are looked up by: a few texts of each event, and those of them that a feed or a query is found under."""

from collections.abc import Sequence

from eventfeed.domain.event import Event
from eventfeed.domain.feed import AppFeed, Feed, InstanceFeed, PartyFeed, Query, ReporteeFeed, ResourceFeed


def event_keys(event: Event) -> Sequence[str]:
    """All texts that an event is looked up by. A kind and a space stand before each, so no two kinds meet."""
    keys = [f"type {event.type}"]
    if (app := event.app) is not None:
        keys += (f"app {app.org}/{app.name}", f"typed {app.org}/{app.name} {event.type}")
    if event.subject is not None:
        keys.append(f"subject {event.subject}")
    if event.instance is not None:
        keys.append(f"instance {event.instance}")
    if event.resource is not None:
        keys.append(f"resource {event.resource}")
    return keys


def _feed_keys(feed: Feed) -> Sequence[str]:
    """What an event of this feed has exactly one of."""
    match feed:
        case AppFeed(app=app):
            return [f"app {app.org}/{app.name}"]
        case PartyFeed(subject=subject):
            return [f"subject {subject}"]
        case ReporteeFeed(types=types):
            return [f"type {each}" for each in types]
        case InstanceFeed(guid=guid):
            return [f"instance {guid}"]
        case ResourceFeed(resource=resource):
            return [f"resource {resource}"]


def query_keys(query: Query) -> tuple[Sequence[str], bool]:
    """What an event that the query wants has exactly one of, and whether every event that has it is wanted."""
    feed, wanted = query.feed, query.filter
    whole = not isinstance(feed, PartyFeed | InstanceFeed) and wanted.only_types
    if isinstance(feed, AppFeed) and wanted.types:
        return [f"typed {feed.app.org}/{feed.app.name} {each}" for each in wanted.types], whole
    return _feed_keys(feed), whole and not wanted.types
