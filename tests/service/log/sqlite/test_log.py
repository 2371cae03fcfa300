"""The SQLite engine alone: query plans, durability, and its file."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import apsw
import msgspec
import pytest

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
    unit_feed,
)
from eventfeed.log.sqlite import connections
from eventfeed.log.sqlite import log as sqlite
from eventfeed.log.sqlite.connections import StoreConnection, translate_error
from eventfeed.log.sqlite.files import StoreFiles
from eventfeed.log.sqlite.layout import SCHEMA_VERSION, read_number
from eventfeed.log.sqlite.log import SqliteLog
from eventfeed.log.sqlite.rows import FIRST_ENTRIES, LATER_ENTRIES
from eventfeed.log.sqlite.scans import scan
from eventfeed.log.sqlite.statements import Values, plan_search, reach_statement, scan_statements
from tests.support.conditions import conditions
from tests.support.engines import new_name, open_sqlite_log
from tests.support.events import TTD, all_entries, caller, entries, entry, event, look_up, page_rows

# More large entries than fit into the bytes of a page.
PAGE_ENTRIES = PAGE_BYTES_MAX // 64_000
SOURCE, TYPES = "https://x", frozenset({"a", "b"})
FILTERS = {
    "all": conditions(),
    "type": conditions(types=frozenset({"a"})),
    "types": conditions(types=frozenset({"a", "b", "c"})),
    "party": conditions(subject="/party/1"),
    "party and types": conditions(subject="/party/1", types=TYPES),
    "source": conditions(source=SOURCE),
    "source and types": conditions(source=SOURCE, types=TYPES),
    "type of apps": conditions(type_patterns={"a", "b"}),
    "type with a wildcard": conditions(type_patterns={"a", "b*"}),
    "alternative subject": conditions(alternative_subject="/organisation/310000011"),
    "id": conditions(id="x"),
    "everything": conditions(id="x", source=SOURCE, subject="/party/1", types=TYPES),
}
READER = caller(user="1")
BOUNDS = {"after": 0, "through": 9, "limit": 5, "examine": 7}


def fields(filters: Sequence[Condition]) -> set[str]:
    """Return the fields that the filters test."""
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
        f"unit: {name}": unit_feed(frozenset({"/party/1", "/party/2"}), READER).where(*filters)
        for name, filters in FILTERS.items()
        if "subject" not in fields(filters)
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


@contextmanager
def reader_connection(folder: Path) -> Iterator[StoreConnection]:
    """Connect to the log of a folder as a reader of the service does."""
    with closing(StoreConnection(StoreFiles(folder / "log.db"), writes=False, cache_kib=100)) as db, closing(db.lock):
        yield db


@pytest.mark.parametrize("name", ["rows", "lengths", "part"])
@pytest.mark.parametrize("feed", QUERIES.values(), ids=QUERIES)
async def test_every_feed_and_filter_is_an_index_search(log: SqliteLog, tmp_path: Path, feed: Feed, name: str) -> None:
    """A query reads only rows of its index, in order. If it must sort, it sorts positions, not bodies.

    Keys are searched one by one, by one statement.
    """
    await log.append(entries(1, 20), after=0)
    statements = scan_statements(feed)
    sql, values, has_many_keys = getattr(statements, name), statements.values, statements.keys > 1
    with reader_connection(tmp_path) as db:
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", {**values, **BOUNDS})]
    index_steps = [step for step in plan if "INDEX entry_" in step]
    other_steps = [step for step in plan if "entry" in step and step not in index_steps]

    assert 1 == len(index_steps)
    assert ["SEARCH entry USING INTEGER PRIMARY KEY (rowid=?)"] * has_many_keys == other_steps
    assert all(
        step.startswith(("SEARCH entry USING INDEX entry_", "SEARCH entry USING COVERING INDEX entry_"))
        and "rowid>?" in step
        for step in index_steps
    ), plan
    assert not any("SCAN entry" in step for step in plan), plan
    assert has_many_keys or not any("TEMP B-TREE" in step for step in plan), plan


def _statements(feed: Feed) -> list[tuple[str, Values]]:
    """All statements of a feed, and their values."""
    statements = scan_statements(feed)
    return [*((sql, statements.values) for sql in statements[:3]), reach_statement(plan_search(feed))]


@pytest.mark.parametrize("feed", QUERIES.values(), ids=QUERIES)
async def test_statement_with_other_values_is_not_compiled_again(log: SqliteLog, tmp_path: Path, feed: Feed) -> None:
    """SQLite takes as long to compile a statement as to read 50 events with it."""
    await log.append(entries(1, 20), after=0)
    compiled = set[int]()

    def note_compilation(*_: object) -> int:
        compiled.add(number)
        return apsw.SQLITE_OK

    with reader_connection(tmp_path) as db:
        db.set_authorizer(note_compilation)
        for number in range(3):
            for sql, values in _statements(feed):
                changed = {name: f"{number}" for name, value in values.items() if isinstance(value, str)}
                db.execute(sql, {**values, **changed, **BOUNDS, "after": number}).fetchall()

    assert {0} == compiled


async def test_search_of_many_keys_is_one_short_statement(log: SqliteLog, tmp_path: Path) -> None:
    """Its text and its plan are those of two keys, so a unit with many sub-units costs no time to parse it."""
    await log.append(entries(1, 20), after=0)
    few, many = (unit_feed(frozenset(f"/party/{number}" for number in range(count)), READER) for count in (2, 500))
    with reader_connection(tmp_path) as db:
        plans = {
            sql: [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", {**values, **BOUNDS})]
            for feed in (few, many)
            for sql, values in _statements(feed)
        }
    index_steps = [step for plan in plans.values() for step in plan if "entry_subject" in step]

    assert 4 == len(plans) == len(index_steps)
    assert all("(subject=? AND rowid>? AND rowid<?)" in step for step in index_steps)
    assert [] == [step for plan in plans.values() for step in plan if step.startswith("SCAN entry")]


async def test_identities_and_owners_are_searched_by_index(log: SqliteLog, tmp_path: Path) -> None:
    """The duration of the lookup before an append does not depend on the size of the log."""
    await log.append(entries(1, 2), after=0)
    with reader_connection(tmp_path) as db:
        plans = [
            [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql.format(values)}", ["a", "b"])]
            for sql, values in ((FIRST_ENTRIES, "(?), (?)"), (LATER_ENTRIES, "?, ?"), (sqlite._OWNERS, "(?), (?)"))
        ]
    steps = [[step for step in plan if "entry" in step] for plan in plans]

    assert [
        [
            "SEARCH entry USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH entry USING COVERING INDEX entry_id (id=?)",
        ],
        ["SEARCH entry USING INDEX entry_identity (<expr>=?)"],
        [
            "SEARCH entry USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH entry USING INDEX entry_instance (instance=?)",
        ],
    ] == steps


@pytest.mark.parametrize("count", [1, 2, 3, 31, 64, 1000])
async def test_batch_of_any_size_is_written_and_found_at_once(log: SqliteLog, count: int) -> None:
    """Each event has its sequence and its identity, and its app owns its instance."""
    new_entries = entries(1, count)
    await log.append(new_entries, after=0)
    lookup = await look_up(log, *(each.event for each in new_entries), event())
    owners = await look_up(log, event(instance=int(new_entries[-1].event.identity.id.partition("-")[2])))

    assert new_entries == await all_entries(log)
    assert {each.event.identity: each.sequence for each in new_entries} == {
        identity: stored_event.sequence for identity, stored_event in lookup.identities.items()
    }
    assert [TTD] == list(owners.owners.values())


async def test_every_connection_commits_with_full_synchronisation(log: SqliteLog) -> None:
    """A receipt means that the event is on the disk: `synchronous=FULL`, with a write-ahead log."""
    pragmas = await asyncio.gather(
        *(log._writer.bind(read_number)(f"PRAGMA {name}") for name in ("synchronous", "user_version")),
    )

    assert [2, SCHEMA_VERSION] == list(pragmas)


async def test_append_uses_no_temporary_file(log: SqliteLog) -> None:
    """SQLite keeps the pages that a statement of many rows changes, so that it can be undone: in memory (2)."""
    assert 2 == await log._writer.bind(read_number)("PRAGMA temp_store")


async def test_log_opened_again_continues(tmp_path: Path) -> None:
    """The log has the same name and entries, and the next append follows its end."""
    path = tmp_path / "deep" / "er" / "log.db"
    async with open_sqlite_log(path) as log:
        await log.append(entries(1, 3), after=0)
        before = await log.head()
    async with open_sqlite_log(path) as log:
        await log.append([entry(4)], after=3)

        assert before.log == (await log.head()).log
        assert [1, 2, 3, 4] == [each.sequence for each in await all_entries(log)]


async def test_two_processes_share_one_file(tmp_path: Path) -> None:
    """Each reads the entries of the other, and only one of them can append at a position."""
    async with open_sqlite_log(tmp_path / "log.db") as one, open_sqlite_log(tmp_path / "log.db") as other:
        await one.append([first := entry(1)], after=0)
        with pytest.raises(TailMoved):
            await other.append([entry(1)], after=0)

        assert [first] == await all_entries(other)


async def test_many_processes_can_create_the_file_concurrently(tmp_path: Path) -> None:
    """The log has one name in all of them."""
    logs = [SqliteLog(tmp_path / "log.db", new_name=new_name) for _ in range(8)]
    await asyncio.gather(*(log.create() for log in logs))
    names = {(await log.head()).log for log in logs}
    await asyncio.gather(*(log.close() for log in logs))

    assert 1 == len(names)


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM entry", "DELETE FROM entry WHERE sequence = 3", "DELETE FROM log", "UPDATE log SET position = 2"],
)
async def test_log_that_contradicts_its_stored_end_does_not_open(tmp_path: Path, damage: str) -> None:
    """An end that differs from the stored one is damage."""
    async with open_sqlite_log(tmp_path / "log.db") as log:
        await log.append(entries(1, 3), after=0)
    with closing(apsw.Connection(str(tmp_path / "log.db"))) as db:
        db.execute(damage)

    with pytest.raises(LogDamaged):
        async with open_sqlite_log(tmp_path / "log.db"):
            pass


async def test_file_that_is_no_log_does_not_open(tmp_path: Path) -> None:
    """The file is not changed."""
    (tmp_path / "log.db").write_bytes(b"no database, but long enough to look like one" * 100)

    with pytest.raises(LogDamaged):
        async with open_sqlite_log(tmp_path / "log.db"):
            pass


async def test_file_of_a_newer_layout_does_not_open(tmp_path: Path) -> None:
    """A file of a later release is not misread."""
    async with open_sqlite_log(tmp_path / "log.db"):
        pass
    with closing(apsw.Connection(str(tmp_path / "log.db"))) as db:
        db.execute("PRAGMA user_version = 99")

    with pytest.raises(LogDamaged, match="99"):
        async with open_sqlite_log(tmp_path / "log.db"):
            pass


async def test_append_to_a_locked_file_is_unavailable(
    log: SqliteLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the lock for too long: nothing is written, and the append can be repeated."""
    monkeypatch.setattr(connections, "BUSY_MILLISECONDS", 20)
    other_process = apsw.Connection(str(tmp_path / "log.db"))
    other_process.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable) as error:
        await log.append([entry(1)], after=0)
    other_process.execute("ROLLBACK")
    other_process.close()

    assert not isinstance(error.value, OutcomeUnknown)
    assert [] == list(await all_entries(log))


def test_every_error_of_the_engine_is_translated() -> None:
    """Each error of `apsw` becomes `Unavailable` or one of its subclasses."""
    classes = [getattr(apsw, name) for name in dir(apsw) if name.endswith("Error")]
    errors = [
        each_class("x") for each_class in classes if isinstance(each_class, type) and issubclass(each_class, apsw.Error)
    ]

    assert len(errors) >= 8
    assert all(isinstance(translate_error(error), Unavailable) for error in errors)


async def test_second_entry_of_an_identity_is_no_fault_and_the_first_counts(log: SqliteLog) -> None:
    """A log from Cosmos DB may have an identity twice, since that engine knows it for some days only."""
    await log.append([entry(1), entry(2, of=(same := event())), entry(3, of=same)], after=0)

    assert [] == [fault async for fault in log.faults()]
    assert {same.identity: 2} == {
        identity: each.sequence for identity, each in (await log.find_identities([same.identity])).items()
    }


async def test_append_to_a_full_disk_writes_nothing(log: SqliteLog) -> None:
    """The append can be repeated. Stored entries stay, and later appends succeed."""
    await log.append(entries(1, 3), after=0)
    pages = await log._writer.bind(read_number)("PRAGMA page_count")
    await log._writer.bind(read_number)(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable):
        await log.append([entry(4, of=event(size=500_000))], after=3)
    await log._writer.bind(read_number)("PRAGMA max_page_count = 1000000")
    await log.append([entry(4)], after=3)

    assert [1, 2, 3, 4] == [each.sequence for each in await all_entries(log)]


@pytest.mark.parametrize("threads", ["_readers", "_follower"])
async def test_reading_connection_cannot_write(log: SqliteLog, threads: str) -> None:
    """The connections of readers and of the follower are read-only."""
    await log.append(entries(1, 3), after=0)

    with pytest.raises(Unavailable, match="read-only"):
        await getattr(log, threads).bind(lambda db: db.execute("DELETE FROM entry"))()
    assert 3 == len(await log.follow(after=0, limit=10))


async def test_entries_with_unusual_texts_are_read_as_written(log: SqliteLog) -> None:
    """Quotes, escapes, line separators and NULLs in any column stay as they are."""
    unusual_texts = [
        "",
        '"quoted"',
        "back\\slash",
        "\u2028 \u00e6\u00f8\u00e5 \U0001f600",
        "[1,2]",
        "'); --",
        "x" * 5_000,
    ]
    new_entries = [
        msgspec.structs.replace(
            each,
            event=msgspec.structs.replace(
                each.event,
                identity=Identity(
                    source=f"https://x/{unusual_texts[number % 7]}", id=f"{number} {unusual_texts[(number + 1) % 7]}"
                ),
                subject=unusual_texts[(number + 2) % 7] if number % 3 else None,
                app=TTD if number % 5 else None,
                body=msgspec.json.encode({"id": unusual_texts[number % 7], "data": {"number": number}}),
            ),
        )
        for number, each in enumerate(entries(1, 3 * PAGE_ENTRIES))
    ]
    await log.append(new_entries, after=0)
    scan = await log.scan(app_feed(TTD), after=0, through=len(new_entries), limit=2 * PAGE_ENTRIES)

    assert new_entries == list(await log.follow(after=0, limit=1_000))
    assert new_entries[7 : 2 * PAGE_ENTRIES - 1] == list(await log.follow(after=7, limit=2 * PAGE_ENTRIES - 8))
    assert page_rows([each for each in new_entries if each.event.app][: 2 * PAGE_ENTRIES]) == page_rows(scan.entries)


async def test_scan_of_large_events_ends_at_the_bytes_of_a_page(log: SqliteLog) -> None:
    """More entries than fit into a page match."""
    large_entries = [entry(sequence, of=event(size=50_000)) for sequence in range(1, 3 * PAGE_ENTRIES)]
    await log.append(large_entries, after=0)
    scan = await log.scan(app_feed(TTD), after=0, through=len(large_entries), limit=1_000)
    body_bytes = len(large_entries[0].event.body)

    assert PAGE_BYTES_MAX // (body_bytes + 35) == len(scan.entries) == scan.examined
    assert PAGE_ENTRIES < scan.examined < len(large_entries)


async def test_row_with_invalid_text_is_damage(log: SqliteLog, tmp_path: Path) -> None:
    """The error says that the file is damaged; it is not an internal error of the service."""
    await log.append(entries(1, 3), after=0)
    with closing(apsw.Connection(str(tmp_path / "log.db"))) as db:
        db.execute("UPDATE entry SET subject = CAST(x'ff' AS TEXT) WHERE sequence = 2")

    with pytest.raises(LogDamaged):
        await log.follow(after=0, limit=10)


async def test_expire_deletes_few_entries_at_once(log: SqliteLog) -> None:
    """A publish waits for one transaction, not for all entries that have expired."""
    await log.append(entries(1, 150), after=0)

    assert [100, 149, 149] == [await log.expire(before=2**60) for _ in range(3)]


def _count(counter: Iterator[int]) -> bool:
    """Count steps of SQLite's machine, without an interruption."""
    next(counter)
    return False


@pytest.mark.parametrize(
    "feed", [app_feed(TTD).where(*conditions(source="https://ttd")), party_feed("/party/1", READER)]
)
async def test_work_of_a_full_page_does_not_grow_with_the_log(log: SqliteLog, tmp_path: Path, feed: Feed) -> None:
    """A scan counts the rows of its index up to a bound only if the first ones do not fill the page."""
    files, steps = StoreFiles(tmp_path / "log.db"), list[int]()
    for end in (1_000, 10_000):
        for after in range((await log.head()).end_offset, end, 1_000):
            await log.append([entry(after + each, of=event(party=1)) for each in range(1, 1_001)], after=after)
        with closing(StoreConnection(files, writes=False, cache_kib=256)) as db:
            counter = itertools.count()
            db.set_progress_handler(partial(_count, counter), 10)
            found = scan(db, feed, bounds={"after": 0, "through": end, "limit": 50}, bytes_max=PAGE_BYTES_MAX)
        steps.append(next(counter))
        assert 50 == len(found.entries)

    assert steps[0] == steps[1]
