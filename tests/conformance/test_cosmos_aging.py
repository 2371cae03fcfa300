"""Entries that Cosmos DB deletes by age, before or after the log start moves, and a log without its end.

The emulator has no time to live, so the tests delete the entries.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from msgspec.structs import replace

from eventfeed.domain.errors import LogDamaged
from eventfeed.domain.feed import app_feed
from eventfeed.log.cosmos import retry
from eventfeed.log.cosmos import segments as segments_module
from eventfeed.log.cosmos.containers import COMMITS
from eventfeed.log.cosmos.database import Database
from eventfeed.log.cosmos.log import CosmosLog
from tests.emulator.running import new_database, open_log, skip_without_emulator
from tests.support.events import TTD, entries, entry

SEGMENT_ENTRIES = 10
LOG = entries(1, 23)
# The commits of the log: three entries each, cut at the ends of segments.
COMMIT_ENTRIES = 3
DAY = 24 * 3_600 * 1_000_000


@pytest.fixture
async def database(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A log of 23 entries in three segments, whose start has not moved."""
    skip_without_emulator(emulator_url)
    monkeypatch.setattr(retry, "STALE_SECONDS", 0.0)
    async with new_database(emulator_url) as database:
        log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
        for start in range(0, len(LOG), COMMIT_ENTRIES):
            await log.append(LOG[start : start + COMMIT_ENTRIES], after=start)
        await log._manifest.change("expire", lambda manifest: replace(manifest, created=0))
        yield database


async def delete(database: Database, first: int, last: int) -> None:
    """Delete the commits of entries as the store does when they reach their time to live."""
    container = database.container(COMMITS)
    query = "SELECT c.id, c.segment FROM c WHERE c.first >= @first AND c.last <= @last"
    values: list[dict[str, object]] = [{"name": "@first", "value": first}, {"name": "@last", "value": last}]
    async for document in container.query_items(query, parameters=values):
        await container.delete_item(document["id"], document["segment"])


VERBS: dict[str, Callable[[CosmosLog], Awaitable[object]]] = {
    "seek the beginning": lambda log: log.seek(0),
    "seek a remaining entry": lambda log: log.seek(LOG[21].time),
    "follow from the start": lambda log: log.follow(after=0, limit=100),
    "follow from a deleted entry": lambda log: log.follow(after=14, limit=100),
    "scan from the start": lambda log: log.scan(app_feed(TTD), after=0, through=23, limit=100),
    "find": lambda log: log.find([LOG[21].event]),
    "append": lambda log: log.append([entry(24)], after=23),
    "expire": lambda log: log.expire(before=LOG[20].time),
}


EXPECTATIONS: dict[str, object] = {
    "seek the beginning": 19,
    "seek a remaining entry": 21,
    "follow from the start": LOG[19:],
    "follow from a deleted entry": LOG[19:],
    "expire": 20,
}


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("has_read", [True, False], ids=["read before", "not read before"])
async def test_verb_does_not_wait_for_deleted_segments(database: Database, name: str, *, has_read: bool) -> None:
    """The first remaining entry follows any position before it, also before the log start has moved."""
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    await log.head()
    if has_read:
        await log.seek(LOG[0].time)
        await log.seek(LOG[14].time)
    await delete(database, 1, 19)
    result = await VERBS[name](log)
    head = await log.head()

    assert head.end_offset == (24 if name == "append" else 23)
    assert result == EXPECTATIONS.get(name, result)
    assert ["scan from the start"] != [name] or LOG[19:] == result.entries  # type: ignore[attr-defined]
    assert ["find"] != [name] or {LOG[21].event.identity} == set(result.identities)  # type: ignore[attr-defined]


async def test_entries_that_expired_under_a_shorter_retention_are_no_damage(database: Database) -> None:
    """The retention is longer now, and the log younger than that. The log start has not moved meanwhile."""
    shorter = await open_log(database, segment_entries=SEGMENT_ENTRIES, keep=10 * DAY)
    start = database.clock() // 1_000 - 20 * DAY
    await shorter._manifest.change("expire", lambda manifest: replace(manifest, created=start))
    await delete(database, 1, 9)
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES, keep=90 * DAY)

    assert LOG[9:] == await log.follow(after=0, limit=100)


async def test_missing_entry_that_cannot_have_expired_is_damage(database: Database) -> None:
    """The log is younger than its shortest retention."""
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES, keep=90 * DAY)
    start = database.clock() // 1_000 - 20 * DAY
    await log._manifest.change("expire", lambda manifest: replace(manifest, created=start))
    await delete(database, 1, 9)

    with pytest.raises(LogDamaged, match="sequence 1:"):
        await log.follow(after=0, limit=100)


async def test_log_whose_entries_have_all_expired_is_not_a_new_one(database: Database) -> None:
    """Nobody moved its start before: no process was running. Its positions must not be used again."""
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    log_start = await log.expire(before=0)
    await delete(database, 1, 23)
    reopened_log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    with pytest.raises(LogDamaged, match="has reached 23"):
        await reopened_log.append([entry(1)], after=0)

    assert 0 == log_start


async def test_commits_that_outlive_later_ones_are_no_damage_before_the_log_start(database: Database) -> None:
    """Those that were put back after a loss are younger than their neighbours."""
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    await log.expire(before=LOG[9].time)
    await delete(database, 10, 19)

    assert LOG[19:] == await log.follow(after=0, limit=100)
    assert 19 == await log.seek(0)


async def test_scan_of_deleted_entries_ends(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first remaining entry is far behind the range: more than a commit may have."""
    monkeypatch.setattr(segments_module, "COMMIT_ENTRIES_MAX", 1)
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    await log.head()
    await delete(database, 1, 19)
    scan = await log.scan(app_feed(TTD), after=0, through=5, limit=100)

    assert ([], 5) == (list(scan.entries), scan.examined)


@pytest.mark.parametrize("verb", ["seek", "expire"])
async def test_lost_segment_after_remaining_entries_is_damage(database: Database, verb: str) -> None:
    """Entries expire in order. The log start must not move past entries because a later segment is lost."""
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    await delete(database, 10, 19)
    with pytest.raises(LogDamaged, match="at sequence 19"):
        await (log.seek(LOG[4].time) if verb == "seek" else log.expire(before=LOG[4].time))


@pytest.mark.parametrize("last", [21, 9, 0])
async def test_log_without_its_end_must_be_renamed(database: Database, last: int) -> None:
    """Every verb refuses the log, until an operator starts a new one with the remaining entries."""
    await delete(database, last + 1, 23)
    old_log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    await old_log._manifest.change("expire", lambda manifest: replace(manifest, position=23))
    with pytest.raises(LogDamaged, match="23"):
        await old_log.head()
    name = await (await open_log(database, segment_entries=SEGMENT_ENTRIES)).rename()
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    await log.append([entry(last + 1)], after=last)
    head = await log.head()

    assert (name, 0, last + 1) == (head.log, head.log_start, head.end_offset)
