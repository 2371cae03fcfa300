"""Appends of new events on SQLite: lookup, numbering and insert are one transaction, whatever becomes of it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import apsw
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from eventfeed.domain.errors import EventConflict, LogDamaged, OutcomeUnknown, StoreUnusable
from eventfeed.domain.event import Entry, Event, Identity
from eventfeed.log.sqlite import connections
from eventfeed.log.sqlite import log as module
from eventfeed.log.sqlite.connections import StoreConnection, transaction
from eventfeed.log.sqlite.layout import read_number
from eventfeed.log.sqlite.log import SqliteLog
from tests.support.engines import ManualClock, open_sqlite_log, running_appender
from tests.support.events import all_entries, entries, entry, event, new_entries, submission

Transaction = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The store's file."""
    return tmp_path / "log.db"


@contextmanager
def other_process(path: Path) -> Iterator[apsw.Connection]:
    """A connection of another program to the file."""
    with closing(apsw.Connection(str(path))) as db:
        yield db


def fail_once(before: Callable[[], object] = lambda: None, after: Callable[[], object] = lambda: None) -> Transaction:
    """Return `transaction` with a fault before its start or after its end, the first time that it writes."""
    has_failed = False

    @contextmanager
    def faulty(db: StoreConnection, *, writes: bool) -> Iterator[None]:
        nonlocal has_failed
        is_faulty, has_failed = writes and not has_failed, has_failed or writes
        if is_faulty:
            before()
        with transaction(db, writes=writes):
            yield
        if is_faulty:
            after()

    return faulty


async def test_entry_that_comes_before_the_transaction_is_found(
    log: SqliteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is looked up or numbered before the process has the right to write."""
    async with open_sqlite_log(path) as other:
        same, new, tail, loop = event(), event(), await log.head(), asyncio.get_running_loop()

        async def append_first() -> None:
            await other.append([entry(1, of=same)], after=0)

        def overtake() -> None:  # in the writer's thread
            asyncio.run_coroutine_threadsafe(append_first(), loop).result()

        monkeypatch.setattr(module, "transaction", fail_once(before=overtake))
        await log.append_new([same, new], tail=tail, plan=new_entries(same, new))

    assert [(1, same), (2, new)] == [(each.sequence, each.event) for each in await all_entries(log)]


@pytest.mark.parametrize("is_stored", [True, False])
@pytest.mark.parametrize("others", [0, 3])
async def test_commit_without_a_known_outcome_stores_each_event_once(
    log: SqliteLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, *, is_stored: bool, others: int
) -> None:
    """The appender reads the positions that the batch was numbered for, also behind entries of other processes."""

    def lose_outcome() -> None:
        raise OutcomeUnknown("The commit was not confirmed.")

    events = [event(), event()]
    async with running_appender(log, clock=clock) as (appender, tail):
        if others:
            await log.append(entries(1, others), after=0)
        if is_stored:
            monkeypatch.setattr(module, "transaction", fail_once(after=lose_outcome))
        else:  # SQLite turns the commit into a rollback
            await log._writer.bind(_refuse_one_commit)()
        receipts = await appender.publish(submission(*events))

    assert events == [each.event for each in (await all_entries(log))[others:]]
    assert [(others + 1, False), (others + 2, False)] == [(each.sequence, each.duplicate) for each in receipts]
    assert others + 2 == tail.head.end_offset


async def test_append_of_new_events_to_a_full_disk_writes_nothing(log: SqliteLog) -> None:
    """The store is not usable until there is space. Then the same events are appended, where they would have been."""
    tail, new = await log.head(), event(size=500_000)
    pages = await log._writer.bind(read_number)("PRAGMA page_count")
    await log._writer.bind(read_number)(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnusable, match="disk is full"):
        await log.append_new([new], tail=tail, plan=new_entries(new))
    await log._writer.bind(read_number)("PRAGMA max_page_count = 1000000")
    await log.append_new([new], tail=tail, plan=new_entries(new))

    assert [(1, new)] == [(each.sequence, each.event) for each in await all_entries(log)]


async def test_append_of_new_events_to_a_locked_file_writes_nothing(
    log: SqliteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program holds SQLite's lock for too long: no plan is made, and the publish can be repeated."""
    tail, new = await log.head(), event()
    monkeypatch.setattr(connections, "BUSY_MILLISECONDS", 20)
    with other_process(path) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnusable, match="locked"):
            await log.append_new([new], tail=tail, plan=new_entries(new))
        db.execute("ROLLBACK")

    assert [] == list(await all_entries(log))


async def test_repeat_needs_no_right_to_write(
    log: SqliteLog, path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During another program's lock a repeat gets its receipt, and an event that is new gets none."""
    async with running_appender(log, clock=clock) as (appender, _):
        await appender.publish(submission(same := event()))
        monkeypatch.setattr(connections, "BUSY_MILLISECONDS", 20)
        with other_process(path) as db:
            db.execute("BEGIN EXCLUSIVE")
            (receipt,) = await appender.publish(submission(same))
            with pytest.raises(StoreUnusable, match="locked"):
                await appender.publish(submission(same, event()))
            db.execute("ROLLBACK")

    assert (1, True) == (receipt.sequence, receipt.duplicate)
    assert 1 == len(await all_entries(log))


async def test_publish_into_an_older_copy_of_the_log_is_damage(log: SqliteLog, path: Path, clock: ManualClock) -> None:
    """An operator has restored it under the process: numbers that have receipts would be used again."""
    async with running_appender(log, clock=clock) as (appender, _):
        await appender.publish(submission(event(), event(), event()))
        with other_process(path) as db:
            db.execute("BEGIN; DELETE FROM entry WHERE sequence > 1; UPDATE log SET position = 1; COMMIT")
        with pytest.raises(LogDamaged, match="ends at 1, before 3"):
            await appender.publish(submission(event()))

    assert 1 == len(await all_entries(log))


@pytest.mark.parametrize("is_repeat", [True, False])
async def test_event_in_a_replaced_file_gets_no_receipt(log: SqliteLog, path: Path, *, is_repeat: bool) -> None:
    """Another file is at the path. A repeat is in the file that this process has open, which may be lost."""
    stored = event()
    await log.append([entry(1, of=stored)], after=0)
    tail, publish = await log.head(), stored if is_repeat else event()
    path.rename(path.with_name("away"))
    path.write_bytes(b"other")
    with pytest.raises(StoreUnusable, match="replaced"):
        await log.append_new([publish], tail=tail, plan=new_entries(publish))
    path.with_name("away").rename(path)

    assert 1 == len(await all_entries(log))


async def test_two_processes_lose_no_race(log: SqliteLog, path: Path, clock: ManualClock) -> None:
    """Each numbers its batches after those of the other, so that none is written twice."""
    async with (
        open_sqlite_log(path) as other,
        running_appender(log, clock=clock) as one,
        running_appender(other, clock=clock) as two,
    ):
        appenders = [appender for appender, _ in (one, two)]
        events = [event() for _ in range(200)]
        receipts = await asyncio.gather(
            *(appenders[number % 2].publish(submission(each)) for number, each in enumerate(events))
        )
        races = [appender._telemetry.counters["eventfeed.append.races.lost"].series for appender in appenders]
    sequences = {receipt.sequence: receipt.identity for (receipt,) in receipts}

    assert [{}, {}] == races
    assert sequences == {each.sequence: each.event.identity for each in await all_entries(log)}
    assert list(range(1, 201)) == sorted(sequences)


def with_source(source: str, *, name: str = "same", content: bytes = b"") -> Event:
    """An event with an id that events of other sources have too."""
    identity = Identity(source=source, id=name)
    return replace(event(content=content or source.encode()), identity=identity, body=msgspec.json.encode(identity))


async def test_events_with_one_id_and_other_sources_are_found_one_by_one(log: SqliteLog, clock: ManualClock) -> None:
    """Only the first one is found by its id, in whatever batch the others come."""
    events = [with_source(f"https://x/{number}") for number in range(5)]
    async with running_appender(log, clock=clock) as (appender, _):
        first = await appender.publish(submission(*events[:2]))
        second = await appender.publish(submission(*events))
        for number in (0, 1, 4):
            with pytest.raises(EventConflict):
                await appender.publish(submission(replace(events[number], content=b"other")))
    model = await log.find_identities([each.identity for each in (*events, with_source("https://x/new"))])

    assert [(1, False), (2, False)] == [(each.sequence, each.duplicate) for each in first]
    assert [(1, True), (2, True), (3, False), (4, False), (5, False)] == [
        (each.sequence, each.duplicate) for each in second
    ]
    assert {each.identity: number for number, each in enumerate(events, start=1)} == {
        identity: each.sequence for identity, each in model.items()
    }
    assert [] == [fault async for fault in log.faults()]


async def test_only_an_entry_that_repeats_an_id_has_a_digest(log: SqliteLog, path: Path) -> None:
    """An entry with an id of its own has no key in the index of identities."""
    events = [with_source("https://x/1"), event(), with_source("https://x/2"), with_source("https://x/3")]
    await log.append_new(events[:3], tail=await log.head(), plan=new_entries(*events[:3]))
    await log.append([entry(4, of=events[3], time=2_000_000)], after=3)
    with other_process(path) as db:
        digests = [bytes(digest) for (digest,) in db.execute("SELECT identity_digest FROM entry ORDER BY sequence")]

    assert [b"", b"", events[2].identity.digest(), events[3].identity.digest()] == digests


async def test_identities_with_one_key_are_two_events(
    log: SqliteLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index has a part of the digest only. Both are model, and each repeat finds its own."""
    whole = Identity.digest
    monkeypatch.setattr(Identity, "digest", lambda identity: bytes(8) + whole(identity)[8:])
    events = [with_source(f"https://x/{number}") for number in range(5)]
    async with running_appender(log, clock=clock) as (appender, _):
        first = await appender.publish(submission(*events[:3]))
        second = await appender.publish(submission(*events))
        with pytest.raises(EventConflict):
            await appender.publish(submission(replace(events[4], content=b"other")))
    model = await log.find_identities([each.identity for each in events])

    assert [(1, False), (2, False), (3, False)] == [(each.sequence, each.duplicate) for each in first]
    assert [(1, True), (2, True), (3, True), (4, False), (5, False)] == [
        (each.sequence, each.duplicate) for each in second
    ]
    assert {each.identity: number for number, each in enumerate(events, start=1)} == {
        identity: each.sequence for identity, each in model.items()
    }


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.tuples(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=6), st.booleans()), max_size=8
    )
)
def test_each_identity_is_found_whatever_came_before_and_expired(
    batches: list[tuple[list[tuple[int, int]], bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A plain list of the entries finds the same, after any batches and deletions of the oldest entries."""
    asyncio.run(_compare_with_list(batches, tmp_path_factory.mktemp("log") / "log.db"))


async def _compare_with_list(batches: list[tuple[list[tuple[int, int]], bool]], path: Path) -> None:
    model, end = list[Entry](), 0
    every_identity = [Identity(source=f"https://x/{source}", id=f"{id_}") for id_ in range(4) for source in range(3)]
    async with open_sqlite_log(path) as log:
        for identities, is_deletion in batches:
            events = {
                (id_, source): with_source(f"https://x/{source}", name=f"{id_}") for id_, source in identities
            }.values()
            before = {each.event.identity for each in model}
            new = [each for each in events if each.identity not in before]
            await log.append_new(list(events), tail=await log.head(), plan=new_entries(*events, time=end + 1))
            model += [entry(number, of=each, time=end + 1) for number, each in enumerate(new, start=end + 1)]
            end += len(new)
            if is_deletion and len(model) > 1:
                await log.expire(before=model[1].time)
                model = [each for each in model if each.time >= model[1].time]
            matches = await log.find_identities(every_identity)

            assert {each.event.identity: each.sequence for each in model} == {
                identity: each.sequence for identity, each in matches.items()
            }
            assert [] == [fault async for fault in log.faults()]


def _refuse_one_commit(db: StoreConnection) -> None:
    """Let SQLite refuse the next commit, and take the one after it."""

    def refuse() -> bool:
        db.set_commit_hook(None)
        return True

    db.set_commit_hook(refuse)
