"""Readers that follow their cursors through a random world, and what they should have seen."""

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from eventfeed.access.cedar import CedarDecisionPoint, policies_file
from eventfeed.access.decisions import Decisions
from eventfeed.access.local import population_file
from eventfeed.domain import feed as feed_module
from eventfeed.domain.cursor import Bare, Cursor
from eventfeed.domain.event import App
from eventfeed.domain.feed import (
    AppFeed,
    Feed,
    Filter,
    InstanceFeed,
    PageRequest,
    PartyFeed,
    Query,
    ReporteeFeed,
    ResourceFeed,
)
from eventfeed.log import reader as reader_module
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite import log as sqlite
from tests.resilience.authorisation.population import (
    NAMES,
    ORGS,
    OTHER_RESOURCES,
    PARTIES,
    STEP,
    TYPES,
    Asker,
    Said,
    World,
    readable,
    world,
    written,
)
from tests.support.engines import opened
from tests.support.events import guid

CASES_A_WORLD = 50


# The product's own bounds, and what they are in a case: small ones end scans and pages early.
BOUNDS = {
    (reader_module, "SCANS_MAX"): (1, 2, 10),
    (reader_module, "CANDIDATES_MAX"): (1, 3, 200),
    (feed_module, "BUT_MAX"): (0, 1, 500),
    (sqlite, "EXAMINE_ENTRIES_MAX"): (1, 10, 20_000),
}


class Case(NamedTuple):
    """One reader: who asks, for what, from where, in pages of which size."""

    asker: Asker
    ask: PageRequest


async def run(seed: int, *, cases: int) -> Iterator[str]:
    """Walk so many cases; each line tells what was wrong with one, and there should be none."""
    faults = list[str]()
    for number in range(cases // CASES_A_WORLD):
        with tempfile.TemporaryDirectory() as folder:
            faults += await _walk_world(random.Random(f"{seed}/{number}"), Path(folder), number)
    return iter(faults)


async def _walk_world(rng: random.Random, folder: Path, number: int) -> Sequence[str]:
    found, faults = world(rng), list[str]()
    register, policies = written(found, folder)
    point = CedarDecisionPoint(population_file(register), policies_file(policies))
    async with opened(folder / "log.db") as log:
        tail = Tail(log)
        in_memory = rng.random() < 0.5
        if in_memory:
            await tail.start()
        if found.entries:
            await log.append(found.entries, after=0)
        if not in_memory:
            await tail.start()
        retention = Retention(log, clock=lambda: 0, keep=10**17)
        reader = Reader(log, tail, retention=retention, decisions=Decisions(point))
        for _ in range(CASES_A_WORLD):
            case = _case(rng, found)
            with _bounded(rng):
                seen = await _follow(reader, case)
            expected = _expected(found, case)
            if seen != expected:
                faults.append(f"world {number}: {case} saw {seen}, not {expected}")
    return faults


@contextmanager
def _bounded(rng: random.Random) -> Iterator[None]:
    """The product with bounds of this case."""
    usual = {(module, name): getattr(module, name) for module, name in BOUNDS}
    for (module, name), values in BOUNDS.items():
        setattr(module, name, rng.choice(values))
    try:
        yield
    finally:
        for (module, name), value in usual.items():
            setattr(module, name, value)


async def _follow(reader: Reader, case: Case) -> Sequence[int]:
    """The sequences seen, following the cursors to the end; -1 marks a page or a cursor that breaks its promise."""
    seen, ask, place = list[int](), case.ask, -1
    while True:
        page = await reader.read(ask)
        shown = [entry.sequence for entry in page.entries]
        moved = place < page.cursor.position or not page.more
        if (
            shown != sorted(set(shown))
            or len(shown) > ask.size
            or not moved
            or max(shown, default=0) > page.cursor.position
        ):
            seen.append(-1)
        seen += shown
        if not page.more or -1 in seen:
            return seen
        place = page.cursor.position
        after = Cursor(log=page.cursor.log, position=place)
        ask = PageRequest(query=ask.query, size=ask.size, after=after, since=ask.since, until=ask.until)


def _case(rng: random.Random, found: World) -> Case:
    asker = rng.choice(found.askers)
    feed, end = _feed(rng, asker), len(found.entries)
    party = rng.choice([*PARTIES, None, None]) if isinstance(feed, AppFeed | ResourceFeed | ReporteeFeed) else None
    wanted = Filter(
        types=frozenset() if isinstance(feed, ReporteeFeed) else frozenset(rng.sample(TYPES, rng.choice([0, 0, 1, 2]))),
        source=rng.choice([None, None, "https://x/ttd/", "https://x/ttd/b/"]),
        subject=f"/party/{party}" if party else None,
    )
    bounds = sorted(rng.randrange(end + 2) * STEP for _ in range(2))
    ask = PageRequest(
        query=Query(feed=feed, filter=wanted),
        size=rng.choice([1, 2, 7, 50, 1000]),
        after=Bare(position=rng.choice([0, 0, rng.randrange(end + 1)])),
        since=rng.choice([None, None, bounds[0]]),
        until=rng.choice([None, None, bounds[1]]),
    )
    return Case(asker, ask)


def _feed(rng: random.Random, asker: Asker) -> Feed:
    app = App(org=rng.choice(ORGS), name=rng.choice(NAMES))
    resource = rng.choice([*OTHER_RESOURCES, f"urn:altinn:resource:app_{app.org}_{app.name}"])
    feeds: Sequence[Feed] = [
        PartyFeed(subject=f"/party/{rng.choice(PARTIES)}", reader=asker.principal),
        ResourceFeed(resource=resource, reader=asker.principal),
        AppFeed(app=app),
        ReporteeFeed(types=frozenset(rng.sample(TYPES, rng.choice([1, 2])))),
        InstanceFeed(guid=guid(rng.randrange(1, 6)), party=rng.choice([None, *PARTIES])),
    ]
    # What is decided on comes more often.
    return rng.choice([*feeds, *feeds[:2], *feeds[:2]])


def _expected(found: World, case: Case) -> Sequence[int]:
    """The sequences that must be seen, decided by hand."""
    ask, after = case.ask, case.ask.after
    start = after.position if isinstance(after, Bare) else 0
    return [
        said.sequence
        for said in found.said
        if said.sequence > start
        and (ask.since is None or said.sequence * STEP >= ask.since)
        and (ask.until is None or said.sequence * STEP < ask.until)
        and _wanted(said, ask.query.filter)
        and _in_feed(said, ask.query.feed, asker=case.asker, more=found.more)
    ]


def _wanted(said: Said, wanted: Filter) -> bool:
    party = None if wanted.subject is None else wanted.subject.rpartition("/")[2]
    return (
        (not wanted.types or said.type in wanted.types)
        and (wanted.source is None or said.source.startswith(wanted.source))
        and (party is None or said.party == party)
    )


def _in_feed(said: Said, feed: Feed, *, asker: Asker, more: bool) -> bool:
    """Whether the entry belongs to the feed, and may be read by who asks."""
    match feed:
        case AppFeed(app=app):
            return said.app == app
        case PartyFeed(subject=subject):
            return f"/party/{said.party}" == subject and readable(said, asker, more=more)
        case ResourceFeed(resource=resource):
            return said.resource == resource and readable(said, asker, more=more)
        case ReporteeFeed(types=types):
            return said.type in types
        case InstanceFeed(guid=instance, party=party):
            return said.guid == instance and party in (None, said.party)
