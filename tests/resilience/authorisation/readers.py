"""Readers that follow their cursors through a random world, and the events that each of them must get."""

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from eventfeed.access.cedar import CedarDecisionPoint
from eventfeed.access.decisions import Decisions
from eventfeed.access.local import population_file
from eventfeed.access.policies import policies_file
from eventfeed.domain import feed as feed_module
from eventfeed.domain.conditions import AnyOf, Condition, Equal, Matches
from eventfeed.domain.cursor import After, BareSequence, Cursor
from eventfeed.domain.event import App
from eventfeed.domain.feed import (
    Feed,
    PageBounds,
    app_feed,
    instance_feed,
    party_feed,
    reportee_feed,
    resource_feed,
    unit_feed,
)
from eventfeed.log import reader as reader_module
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite import scans as sqlite
from eventfeed.telemetry.telemetry import Telemetry
from tests.resilience.authorisation.population import (
    NAMES,
    ORGS,
    OTHER_RESOURCES,
    PARTIES,
    STEP,
    TYPES,
    Caller,
    Facts,
    World,
    is_readable,
    random_world,
    write_files,
)
from tests.support.engines import ManualClock, open_sqlite_log
from tests.support.events import guid

CASES_PER_WORLD = 50


# The product's bounds, and their values in a case: small ones end scans and pages early.
BOUNDS = {
    (reader_module, "SCANS_MAX"): (1, 2, 10),
    (reader_module, "CANDIDATES_MIN"): (1, 3, 200),
    (feed_module, "EXCLUSIONS_MAX"): (0, 1, 500),
    (sqlite, "EXAMINE_ENTRIES_MAX"): (1, 10, 20_000),
}


class Content(NamedTuple):
    """The events that belong in a feed. None matches all, `needs_decision` adds the rights of the caller."""

    app: App | None = None
    party: str | None = None
    parties: frozenset[str] | None = None
    resource: str | None = None
    types: frozenset[str] | None = None
    guid: str | None = None
    needs_decision: bool = False
    filter_types: frozenset[str] = frozenset()
    filter_source: str = ""
    filter_party: str | None = None

    def includes(self, facts: Facts) -> bool:
        """True if an entry belongs in the feed and passes its filters, readable or not."""
        return (
            self.app in (None, facts.app)
            and self.party in (None, facts.party)
            and (self.parties is None or facts.party in self.parties)
            and self.resource in (None, facts.resource)
            and (self.types is None or facts.type in self.types)
            and self.guid in (None, facts.guid)
            and (not self.filter_types or facts.type in self.filter_types)
            and facts.source.startswith(self.filter_source)
            and self.filter_party in (None, facts.party)
        )


class Case(NamedTuple):
    """One reader: the caller, the feed with its filters, the first cursor, and the bounds of its pages.

    `content` describes the events of the feed, independent of the product's conditions.
    """

    caller: Caller
    feed: Feed
    content: Content
    after: BareSequence
    bounds: PageBounds


async def run(seed: int, *, cases: int) -> Iterator[str]:
    """Run the cases. Return a line for each failure."""
    failures = list[str]()
    for number in range(cases // CASES_PER_WORLD):
        with tempfile.TemporaryDirectory() as folder:
            failures += await _run_world(random.Random(f"{seed}/{number}"), Path(folder), number)
    return iter(failures)


async def _run_world(rng: random.Random, folder: Path, number: int) -> Sequence[str]:
    world, failures = random_world(rng), list[str]()
    register, policies = write_files(world, folder)
    point = CedarDecisionPoint(population_file(register), policies_file(policies))
    async with open_sqlite_log(folder / "log.db") as log:
        tail = Tail(log)
        in_memory = rng.random() < 0.5
        if in_memory:
            await tail.start()
        if world.entries:
            await log.append(world.entries, after=0)
        if not in_memory:
            await tail.start()
        retention = Retention(log, clock=ManualClock(0), keep=10**17)
        telemetry = Telemetry()
        decisions = Decisions(point, telemetry=telemetry)
        reader = Reader(log, tail, retention=retention, decisions=decisions, telemetry=telemetry)
        for _ in range(CASES_PER_WORLD):
            case = _random_case(rng, world)
            with _random_bounds(rng):
                sequences = await _follow(reader, case)
            correct = _correct_sequences(world, case)
            if sequences != correct:
                failures.append(f"world {number}: {case} got {sequences}, not {correct}")
    return failures


@contextmanager
def _random_bounds(rng: random.Random) -> Iterator[None]:
    """Change the product's bounds while the block lasts."""
    defaults = {(module, name): getattr(module, name) for module, name in BOUNDS}
    for (module, name), values in BOUNDS.items():
        setattr(module, name, rng.choice(values))
    try:
        yield
    finally:
        for (module, name), value in defaults.items():
            setattr(module, name, value)


async def _follow(reader: Reader, case: Case) -> Sequence[int]:
    """The sequences on all pages up to the end. -1 marks a page or a cursor that breaks the contract."""
    after: After = case.after
    sequences, position = list[int](), -1
    while True:
        page = await reader.read(case.feed, after=after, bounds=case.bounds)
        on_page = [entry.sequence for entry in page.entries]
        is_stuck = page.more and page.cursor.position <= position
        if (
            on_page != sorted(set(on_page))
            or len(on_page) > case.bounds.size
            or is_stuck
            or max(on_page, default=0) > page.cursor.position
        ):
            sequences.append(-1)
        sequences += on_page
        if not page.more or -1 in sequences:
            return sequences
        position = page.cursor.position
        after = Cursor(log=page.cursor.log, position=position)


def _random_case(rng: random.Random, world: World) -> Case:
    caller = rng.choice(world.callers)
    feed, content = _random_feed(rng, caller)
    filters = _random_filters(rng, content)
    conditions = list[Condition]()
    if filters.filter_types:
        conditions.append(AnyOf("type", filters.filter_types))
    if filters.filter_source:
        conditions.append(Matches("source", prefixes=frozenset({filters.filter_source})))
    if filters.filter_party:
        conditions.append(Equal("subject", f"/party/{filters.filter_party}"))
    end = len(world.entries)
    since, until = sorted(rng.randrange(end + 2) * STEP for _ in range(2))
    bounds = PageBounds(
        size=rng.choice([1, 2, 7, 50, 1000]),
        since=rng.choice([None, None, since]),
        until=rng.choice([None, None, until]),
    )
    after = BareSequence(position=rng.choice([0, 0, rng.randrange(end + 1)]))
    return Case(caller, feed.where(*conditions), filters, after, bounds)


def _random_filters(rng: random.Random, content: Content) -> Content:
    takes_party = content.party is None and content.parties is None and content.guid is None
    takes_types = content.types is None
    return content._replace(
        filter_types=frozenset(rng.sample(TYPES, rng.choice([0, 0, 1, 2]))) if takes_types else frozenset(),
        filter_source=rng.choice(["", "", "https://x/ttd/", "https://x/ttd/b/"]),
        filter_party=rng.choice([*PARTIES, None, None]) if takes_party else None,
    )


def _random_feed(rng: random.Random, caller: Caller) -> tuple[Feed, Content]:
    app = App(org=rng.choice(ORGS), name=rng.choice(NAMES))
    resource = rng.choice([*OTHER_RESOURCES, f"urn:altinn:resource:app_{app.org}_{app.name}"])
    party, types = rng.choice(PARTIES), frozenset(rng.sample(TYPES, rng.choice([1, 2])))
    instance, instance_party = guid(rng.randrange(1, 6)), rng.choice([None, *PARTIES])
    units = frozenset(rng.sample(PARTIES, rng.choice([2, 3])))
    of_units = unit_feed(frozenset(f"/party/{unit}" for unit in units), caller.principal)
    feeds = [
        (party_feed(f"/party/{party}", caller.principal), Content(party=party, needs_decision=True)),
        (resource_feed(resource, caller.principal), Content(resource=resource, needs_decision=True)),
        (of_units, Content(parties=units, needs_decision=True)),
        (app_feed(app), Content(app=app)),
        (reportee_feed(types), Content(types=types)),
        (instance_feed(instance, instance_party), Content(guid=instance, party=instance_party)),
    ]
    # Feeds with decisions come more often.
    return rng.choice([*feeds, *feeds[:3], *feeds[:3]])


def _correct_sequences(world: World, case: Case) -> Sequence[int]:
    """The sequences that the reader must get, by the rules of this test."""
    since, until = case.bounds.since, case.bounds.until
    return [
        facts.sequence
        for facts in world.facts
        if facts.sequence > case.after.position
        and (since is None or facts.sequence * STEP >= since)
        and (until is None or facts.sequence * STEP < until)
        and case.content.includes(facts)
        and (
            not case.content.needs_decision
            or is_readable(facts, case.caller, has_more_policies=world.has_more_policies)
        )
    ]
