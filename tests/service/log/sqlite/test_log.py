"""Promises of the embedded engine alone: query plans, durability, its file."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from eventfeed.domain.cloudevents import EVENT_BYTES_MAX
from eventfeed.domain.conditions import Condition
from eventfeed.domain.errors import LogDamaged, OutcomeUnknown, TailMoved, Unavailable
from eventfeed.domain.event import Identity
from eventfeed.domain.feed import (
    PAGE_BYTES_MAX,
    Feed,
    app_feed,
    instance_feed,
    party_feed,
    reportee_feed,
    resource_feed,
)
from eventfeed.log.sqlite import log as sqlite
from eventfeed.log.sqlite.connections import translate_error
from eventfeed.log.sqlite.log import SqliteLog
from eventfeed.log.sqlite.rows import join_rows
from eventfeed.log.sqlite.statements import plan_searches, scan_statement
from tests.support.conditions import conditions
from tests.support.engines import new_name, open_sqlite_log
from tests.support.events import TTD, all_entries, caller, entries, entry, event

# Rows that are put together at once, or one more.
TOGETHER = PAGE_BYTES_MAX // EVENT_BYTES_MAX
SOURCE, TYPES = "https://x", frozenset({"a", "b"})
FILTERS = {
    "all": conditions(),
    "type": conditions(types=frozenset({"a"})),
    "types": conditions(types=frozenset({"a", "b", "c"})),
    "party": conditions(subject="/party/1"),
    "party and types": conditions(subject="/party/1", types=TYPES),
    "source": conditions(source=SOURCE),
    "source and types": conditions(source=SOURCE, types=TYPES),
    "id": conditions(id="x"),
    "everything": conditions(id="x", source=SOURCE, subject="/party/1", types=TYPES),
}
READER = caller(user="1")


def fields(filters: Sequence[Condition]) -> set[str]:
    """Return the fields that filters are about."""
    return {condition.field for condition in filters}


APP_RESOURCE = resource_feed("urn:altinn:resource:app_ttd_bolig", READER)
QUERIES = {
    **{f"app: {name}": app_feed(TTD).where(*filters) for name, filters in FILTERS.items()},
    **{f"resource of an app: {name}": APP_RESOURCE.where(*filters) for name, filters in FILTERS.items()},
    **{
        f"resource: {name}": resource_feed("urn:x", READER).where(*filters)
        for name, filters in {**FILTERS, "hidden": conditions(but_subjects=frozenset({"", "/party/1"}))}.items()
    },
    **{
        f"party: {name}": party_feed("/party/1", READER).where(*filters)
        for name, filters in {
            **{name: filters for name, filters in FILTERS.items() if "subject" not in fields(filters)},
            "hidden": conditions(but_resources=frozenset({"urn:x", "urn:y"}), types=TYPES),
        }.items()
    },
    **{
        f"reportees: {name}": reportee_feed(TYPES).where(*filters)
        for name, filters in FILTERS.items()
        if "type" not in fields(filters)
    },
    **{
        f"instance: {name}": instance_feed("x", None).where(*filters)
        for name, filters in FILTERS.items()
        if "subject" not in fields(filters)
    },
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
async def test_every_feed_and_filter_is_an_index_search(log: SqliteLog, tmp_path: Path, query: Feed) -> None:
    """No query reads rows that its index does not name, comes out in order, and sorts no bodies: at most places."""
    await log.append(entries(1, 20), after=0)
    ways = plan_searches(query)
    sql, values = scan_statement(ways)
    with sqlite3.connect(tmp_path / "log.db") as db:
        bound = {**values, "after": 0, "through": 9, "limit": 5}
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {join_rows(sql)}", bound)]
    db.close()
    reads = [step for step in plan if "INDEX entry_" in step]
    others = [step for step in plan if "entry" in step and step not in reads]

    assert len(ways) == len(reads)
    assert ["SEARCH entry USING INTEGER PRIMARY KEY (rowid=?)"] * (len(ways) > 1) == others
    assert all(
        step.startswith(("SEARCH entry USING INDEX entry_", "SEARCH entry USING COVERING INDEX entry_"))
        and "rowid>?" in step
        for step in reads
    ), plan
    assert not any("SCAN entry" in step for step in plan), plan
    assert len(ways) > 1 or not any("TEMP B-TREE" in step for step in plan), plan


async def test_identities_and_owners_are_searched_by_index(log: SqliteLog, tmp_path: Path) -> None:
    """The check before an append does not grow with the log."""
    await log.append(entries(1, 2), after=0)
    with sqlite3.connect(tmp_path / "log.db") as db:
        plans = [
            [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql.format(values)}", ["a", "b"])]
            for sql, values in ((sqlite._ENTRIES, "?, ?"), (sqlite._OWNERS, "(?), (?)"))
        ]
    db.close()
    steps = [[step for step in plan if "entry" in step] for plan in plans]

    assert [
        ["SEARCH entry USING INDEX entry_identity (identity=?)"],
        [
            "SEARCH entry USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH entry USING INDEX entry_instance (instance=?)",
        ],
    ] == steps


@pytest.mark.parametrize("count", [1, 2, 3, 31, 64, 1000])
async def test_any_number_of_events_is_written_and_found_at_once(log: SqliteLog, count: int) -> None:
    """However many: each at its place, known by its identity, its instance owned by its app."""
    new_entries = entries(1, count)
    await log.append(new_entries, after=0)
    result = await log.find([*(each.event for each in new_entries), event()])
    owners = await log.find([event(instance=int(new_entries[-1].event.identity.id.partition("-")[2]))])

    assert new_entries == await all_entries(log)
    assert {each.event.identity: each.sequence for each in new_entries} == {
        identity: stored_event.sequence for identity, stored_event in result.identities.items()
    }
    assert [TTD] == list(owners.owners.values())


async def test_a_commit_is_on_the_disk(log: SqliteLog) -> None:
    """A receipt means fsynced: every connection commits with synchronous=FULL, into a write-ahead log."""
    pragmas = await asyncio.gather(
        *(log._writer.bind(sqlite._number)(f"PRAGMA {name}") for name in ("synchronous", "user_version")),
    )

    assert [2, sqlite.SCHEMA_VERSION] == list(pragmas)


async def test_a_file_of_the_layout_before_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its entries are all there, and the searches it lacked are as fast as in a new file."""
    path = tmp_path / "log.db"
    async with open_sqlite_log(path) as log:
        await log.append(entries(1, 5), after=0)
    with sqlite3.connect(path) as db:
        db.executescript("DROP INDEX entry_type; DROP INDEX entry_resource; PRAGMA user_version = 1")
    db.close()
    async with open_sqlite_log(path) as log:
        feed = reportee_feed(frozenset({"instance.created"}))
        scan = await log.scan(feed, after=0, through=5, limit=9)

    assert [1, 2, 3, 4, 5] == [each.sequence for each in scan.entries]


async def test_the_log_survives_being_closed(tmp_path: Path) -> None:
    """Opening the file again gives the same log, and it goes on where it was."""
    path = tmp_path / "deep" / "er" / "log.db"
    async with open_sqlite_log(path) as log:
        await log.append(entries(1, 3), after=0)
        before = await log.head()
    async with open_sqlite_log(path) as log:
        await log.append([entry(4)], after=3)

        assert before.log == (await log.head()).log
        assert [1, 2, 3, 4] == [each.sequence for each in await all_entries(log)]


async def test_two_processes_share_one_file(tmp_path: Path) -> None:
    """Each sees what the other appended, and neither can append where the other did."""
    async with open_sqlite_log(tmp_path / "log.db") as one, open_sqlite_log(tmp_path / "log.db") as other:
        await one.append([first := entry(1)], after=0)
        with pytest.raises(TailMoved):
            await other.append([entry(1)], after=0)

        assert [first] == await all_entries(other)


async def test_many_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    """The log has one name, whoever was first."""
    logs = [SqliteLog(tmp_path / "log.db", new_name=new_name) for _ in range(8)]
    await asyncio.gather(*(log.open() for log in logs))
    names = {(await log.head()).log for log in logs}
    await asyncio.gather(*(log.close() for log in logs))

    assert 1 == len(names)


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM entry", "DELETE FROM entry WHERE sequence = 3", "DELETE FROM log", "UPDATE log SET position = 2"],
)
async def test_a_log_that_contradicts_its_record_refuses_to_start(tmp_path: Path, damage: str) -> None:
    """An end that is not where the record says is never taken for the end."""
    async with open_sqlite_log(tmp_path / "log.db") as log:
        await log.append(entries(1, 3), after=0)
    with sqlite3.connect(tmp_path / "log.db") as db:
        db.execute(damage)
    db.close()

    with pytest.raises(LogDamaged):
        async with open_sqlite_log(tmp_path / "log.db"):
            pass


async def test_a_file_that_is_no_log_refuses_to_start(tmp_path: Path) -> None:
    """Another file is told from a store, and left as it is."""
    (tmp_path / "log.db").write_bytes(b"no database, but long enough to look like one" * 100)

    with pytest.raises(LogDamaged):
        async with open_sqlite_log(tmp_path / "log.db"):
            pass


async def test_a_newer_layout_refuses_to_start(tmp_path: Path) -> None:
    """A file of another release is not misread."""
    async with open_sqlite_log(tmp_path / "log.db"):
        pass
    with sqlite3.connect(tmp_path / "log.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(LogDamaged, match="99"):
        async with open_sqlite_log(tmp_path / "log.db"):
            pass


async def test_a_locked_file_is_unavailable(log: SqliteLog, tmp_path: Path) -> None:
    """When another process holds the file for too long nothing is written, and the caller may come back."""
    await log._writer.bind(sqlite._number)("PRAGMA busy_timeout = 20")
    rival = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    rival.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable) as refusal:
        await log.append([entry(1)], after=0)
    rival.execute("ROLLBACK")
    rival.close()

    assert not isinstance(refusal.value, OutcomeUnknown)
    assert [] == list(await all_entries(log))


def test_every_error_of_the_engine_is_translated() -> None:
    """Foreign errors become the product's own at the border; a damaged file is told from a passing failure."""
    kinds = [getattr(sqlite3, name) for name in dir(sqlite3) if name.endswith("Error") or name == "Warning"]
    errors = [kind("x") for kind in kinds if isinstance(kind, type) and issubclass(kind, sqlite3.Error)]

    assert len(errors) >= 8
    assert all(isinstance(translate_error(error), Unavailable) for error in errors)


async def test_a_twin_is_refused_by_the_file_itself(log: SqliteLog) -> None:
    """Should every check fail, an identity still cannot stand twice."""
    await log.append([entry(1, of=(same := event()))], after=0)
    with pytest.raises(Unavailable):
        await log.append([entry(2, of=same)], after=1)

    assert 1 == len(await all_entries(log))


async def test_a_full_disk_loses_nothing(log: SqliteLog) -> None:
    """An append without space is refused and may be repeated; stored entries stay, and later appends work."""
    await log.append(entries(1, 3), after=0)
    pages = await log._writer.bind(sqlite._number)("PRAGMA page_count")
    await log._writer.bind(sqlite._number)(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable):
        await log.append([entry(4, of=event(size=500_000))], after=3)
    await log._writer.bind(sqlite._number)("PRAGMA max_page_count = 1000000")
    await log.append([entry(4)], after=3)

    assert [1, 2, 3, 4] == [each.sequence for each in await all_entries(log)]


@pytest.mark.parametrize("threads", ["_readers", "_follower"])
async def test_who_reads_cannot_write(log: SqliteLog, threads: str) -> None:
    """A mistake in a search takes nothing out of the log."""
    await log.append(entries(1, 3), after=0)

    with pytest.raises(Unavailable, match="readonly"):
        await getattr(log, threads).bind(lambda db: db.execute("DELETE FROM entry"))()
    assert 3 == len(await log.follow(after=0, limit=10))


async def test_rows_that_are_put_together_come_apart_as_they_were(log: SqliteLog) -> None:
    """Any text, and more rows than are joined at once."""
    odd = ["", '"quoted"', "back\\slash", "\u2028 \u00e6\u00f8\u00e5 \U0001f600", "[1,2]", "'); --", "x" * 5_000]
    new_entries = [
        msgspec.structs.replace(
            each,
            event=msgspec.structs.replace(
                each.event,
                identity=Identity(source=f"https://x/{odd[number % 7]}", id=f"{number} {odd[(number + 1) % 7]}"),
                subject=odd[(number + 2) % 7] if number % 3 else None,
                app=TTD if number % 5 else None,
                body=msgspec.json.encode({"id": odd[number % 7], "data": {"number": number}}),
            ),
        )
        for number, each in enumerate(entries(1, 3 * TOGETHER))
    ]
    await log.append(new_entries, after=0)
    scan = await log.scan(app_feed(TTD), after=0, through=len(new_entries), limit=2 * TOGETHER)

    assert new_entries == list(await log.follow(after=0, limit=1_000))
    assert new_entries[7 : 2 * TOGETHER - 1] == list(await log.follow(after=7, limit=2 * TOGETHER - 8))
    assert [each for each in new_entries if each.event.app][: 2 * TOGETHER] == scan.entries


async def test_what_is_past_a_pages_bytes_is_left(log: SqliteLog) -> None:
    """Also where it is not in the first rows that are put together."""
    heavy = [entry(place, of=event(size=50_000)) for place in range(1, 3 * TOGETHER)]
    await log.append(heavy, after=0)
    scan = await log.scan(app_feed(TTD), after=0, through=len(heavy), limit=1_000)
    weight = len(heavy[0].event.body)

    assert PAGE_BYTES_MAX // weight == len(scan.entries) == scan.examined
    assert TOGETHER < scan.examined < len(heavy)


async def test_a_row_that_nobody_can_have_written_is_damage(log: SqliteLog, tmp_path: Path) -> None:
    """A file that is damaged in this way is no defect of the service."""
    await log.append(entries(1, 3), after=0)
    with sqlite3.connect(tmp_path / "log.db") as db:
        db.execute("UPDATE entry SET subject = CAST(x'ff' AS TEXT) WHERE sequence = 2")
    db.close()

    with pytest.raises(LogDamaged):
        await log.follow(after=0, limit=10)
