"""What a feed and its filter are in the query language of Cosmos DB. All values are parameters."""

from collections.abc import Iterable, Mapping, Sequence

from eventfeed.domain.event import app_of
from eventfeed.domain.feed import AppFeed, Feed, Filter, InstanceFeed, PartyFeed, Query, ReporteeFeed, ResourceFeed

Values = Mapping[str, object]


def conditions(query: Query) -> tuple[str, Values]:
    """What an entry's document must fulfil, and the values for it."""
    clauses, values = list[str](), dict[str, object]()
    for clause, bound in (*_of_feed(query.feed), *_of_filter(query.filter)):
        clauses.append(clause)
        values |= bound
    return " AND ".join(clauses), values


def listing(name: str, listed: Sequence[object]) -> tuple[str, Values]:
    """Parameters for each of some values, for an IN."""
    names = [f"{name}{place}" for place in range(len(listed))]
    return ", ".join(f"@{each}" for each in names), dict(zip(names, listed, strict=True))


def _of_feed(feed: Feed) -> Iterable[tuple[str, Values]]:
    match feed:
        case AppFeed(app=app):
            yield "c.org = @org AND c.app = @app", {"org": app.org, "app": app.name}
        case PartyFeed(subject=subject):
            yield "c.subject = @party AND IS_STRING(c.resource)", {"party": subject}
        case ReporteeFeed(types=types):
            listed, values = listing("wanted", sorted(types))
            yield f"c.type IN ({listed})", values
        case InstanceFeed(guid=guid):
            yield "c.instance = @instance", {"instance": guid}
        case ResourceFeed(resource=resource):
            owner = app_of("", resource)
            if owner is None:
                yield "c.resource = @resource", {"resource": resource}
            else:
                yield "c.org = @org AND c.app = @app", {"org": owner.org, "app": owner.name}


def _of_filter(wanted: Filter) -> Iterable[tuple[str, Values]]:
    if wanted.types:
        listed, values = listing("type", sorted(wanted.types))
        yield f"c.type IN ({listed})", values
    if wanted.source is not None:
        yield "STARTSWITH(c.source, @source)", {"source": wanted.source}
    if wanted.subject is not None:
        yield "c.subject = @subject", {"subject": wanted.subject}
    if wanted.id is not None:
        yield "c.eventid = @eventid", {"eventid": wanted.id}
    if wanted.but_resources:
        listed, values = listing("hidden", sorted(wanted.but_resources))
        yield f"(NOT IS_DEFINED(c.resource) OR NOT (c.resource IN ({listed})))", values
    if wanted.but_subjects:
        yield from _but_subjects(wanted.but_subjects)


def _but_subjects(subjects: frozenset[str]) -> Iterable[tuple[str, Values]]:
    """An event without a subject is left out by the name of none."""
    named = sorted(subjects - {""})
    if named:
        listed, values = listing("other", named)
        yield f"(NOT IS_DEFINED(c.subject) OR NOT (c.subject IN ({listed})))", values
    if "" in subjects:
        yield "IS_STRING(c.subject)", {}
