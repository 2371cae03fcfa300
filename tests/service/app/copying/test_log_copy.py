"""The copy of a log: its entries, name and start stay, and it goes on where it was interrupted."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from eventfeed.app.bulk_append import BulkAppendError
from eventfeed.app.copying import entries as reading
from eventfeed.app.copying.entries import CopyRefusedError
from eventfeed.app.copying.log_copy import LogCopy
from eventfeed.domain.errors import LogDamaged, OutcomeUnknown, StoreUnusable, Unavailable
from eventfeed.domain.event import Entry
from eventfeed.log.sqlite.log import SqliteLog
from tests.service.app.copying.copier import copy_log
from tests.support.engines import new_name, open_sqlite_log
from tests.support.events import all_entries, entries, entry
from tests.support.faulty_log import Fault, FaultyImportLog, FaultyLog

SECOND = 1_000_000


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read few entries at once, and wait little."""
    monkeypatch.setattr(reading, "PART_ENTRIES_MAX", 3)
    monkeypatch.setattr("eventfeed.app.bulk_append.BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr("eventfeed.app.bulk_append.BACKOFF_SECONDS_MAX", 0.0)


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """A log with ten entries of several attempts and times."""
    async with open_sqlite_log(tmp_path / "source.db") as log:
        await log.append([entry(number, write_id=f"w{number // 4}") for number in range(1, 11)], after=0)
        yield log


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """An empty log that takes two entries at once."""
    async with open_sqlite_log(tmp_path / "target.db") as log:
        log.import_entries_max = 2
        yield log


async def test_copy_has_the_entries_and_the_name_of_its_source(source: SqliteLog, target: SqliteLog) -> None:
    """So every cursor with its proof is valid in both."""
    report = await copy_log(source, target)

    assert (10, 10) == report[:2]
    assert await source.head() == await target.head()
    assert await all_entries(source) == await all_entries(target)


async def test_copy_begins_where_its_source_does(source: SqliteLog, target: SqliteLog) -> None:
    """Expired positions stay expired."""
    await source.expire(before=5 * SECOND)

    assert (6, 6) == (await copy_log(source, target))[:2]
    assert (4, 10) == ((await target.head()).log_start, (await target.head()).end_offset)
    assert await all_entries(source) == await all_entries(target)


async def test_copy_of_an_empty_log_has_its_name(tmp_path: Path, target: SqliteLog) -> None:
    """Its consumers have cursors at the beginning."""
    async with open_sqlite_log(tmp_path / "empty.db") as empty:
        report = await copy_log(empty, target)
        head = await empty.head()

    assert (0, 0) == report[:2]
    assert head == await target.head()


async def test_repeated_copy_adds_what_the_source_got_since(source: SqliteLog, target: SqliteLog) -> None:
    """A service may append meanwhile; the last run is after its end."""
    first = await copy_log(source, target)
    await source.append(entries(11, 14), after=10)

    second, third = await copy_log(source, target), await copy_log(source, target)

    assert [(10, 10), (4, 14), (0, 14)] == [each[:2] for each in (first, second, third)]
    assert first.digest != second.digest == third.digest
    assert await all_entries(source) == await all_entries(target)


async def test_entries_that_come_during_the_copy_wait_for_the_next_one(source: SqliteLog, target: SqliteLog) -> None:
    """A copy ends at the end that its source had at the start."""
    copy = LogCopy(source, target)
    await copy.start()
    await source.append(entries(11, 14), after=10)

    assert 10 == sum([each async for each in copy.steps()])
    assert 10 == sum([each async for each in copy.comparison()])
    assert 10 == (await target.head()).end_offset


async def test_repeated_copy_keeps_what_expired_in_its_source_since(source: SqliteLog, target: SqliteLog) -> None:
    """The retention of the target deletes it later. What both have is compared."""
    await copy_log(source, target)
    await source.expire(before=5 * SECOND)

    assert (0, 6) == (await copy_log(source, target))[:2]
    assert 0 == (await target.head()).log_start


@pytest.mark.parametrize("parts", [1, 4, 100])
async def test_digest_is_that_of_the_entries(
    source: SqliteLog, target: SqliteLog, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    """It does not depend on how they are read."""
    first = await copy_log(source, target)
    monkeypatch.setattr(reading, "PART_ENTRIES_MAX", parts)

    assert first.digest == (await copy_log(source, target)).digest


@pytest.mark.parametrize("steps", [1, 2])
async def test_interrupted_copy_goes_on_after_its_last_entry(source: SqliteLog, target: SqliteLog, steps: int) -> None:
    """The target says how far it came."""
    await source.expire(before=3 * SECOND)
    copy = LogCopy(source, target)
    await copy.start()
    running = copy.steps()
    copied = sum([await anext(running) for _ in range(steps)])
    await running.aclose()

    assert (8 - copied, 8) == (await copy_log(source, target))[:2]
    assert await all_entries(source) == await all_entries(target)


async def test_copy_that_was_interrupted_before_its_first_entry_begins_again(
    source: SqliteLog, target: SqliteLog
) -> None:
    """Meanwhile the source may have deleted its oldest entries."""
    await target.adopt((await source.head()).log, log_start=0)
    await source.expire(before=3 * SECOND)

    assert (8, 8) == (await copy_log(source, target))[:2]
    assert await source.head() == await target.head()


async def test_target_with_another_log_is_refused(source: SqliteLog, target: SqliteLog) -> None:
    """Nothing is written."""
    await target.append(entries(1, 2), after=0)
    before = await target.head()

    with pytest.raises(CopyRefusedError, match=rf"TARGET has the events 1 to 2 of the log {before.log}, and SOURCE"):
        await copy_log(source, target)
    assert before == await target.head()


async def test_target_that_a_service_has_written_to_is_refused(source: SqliteLog, target: SqliteLog) -> None:
    """Its end is after that of the source, or its last entry is another one."""
    await copy_log(source, target)
    await target.append(entries(11, 12), after=10)

    with pytest.raises(CopyRefusedError, match="ends at 10: a service has written to TARGET"):
        await copy_log(source, target)
    await source.append(entries(11, 14), after=10)
    with pytest.raises(CopyRefusedError, match="Event 12 differs in TARGET"):
        await copy_log(source, target)
    assert 12 == (await target.head()).end_offset


async def test_target_that_has_deleted_events_is_refused(source: SqliteLog, target: SqliteLog) -> None:
    """A service or `store trim` has done so."""
    await copy_log(source, target)
    await target.expire(before=3 * SECOND)

    with pytest.raises(CopyRefusedError, match="SOURCE begins with 1: a service has deleted events in TARGET"):
        await copy_log(source, target)


async def test_source_that_has_deleted_what_the_target_lacks_is_refused(source: SqliteLog, target: SqliteLog) -> None:
    """The copy would have a gap."""
    await copy_log(source, target)
    await source.append(entries(11, 20), after=10)
    await source.expire(before=13 * SECOND)

    with pytest.raises(CopyRefusedError, match="begins with 13: it has deleted the events between them"):
        await copy_log(source, target)


@pytest.mark.parametrize(
    "change",
    ["time = time - 1", "mark = 'x'", "content = x'00'", "subject = 'x'", "resource = NULL", "body = x'7b7d'"],
)
async def test_entry_that_differs_is_named(source: SqliteLog, target: SqliteLog, change: str) -> None:
    """Each member of an entry is compared."""
    await copy_log(source, target)
    await target._writer.bind(lambda db: db.execute(f"UPDATE entry SET {change} WHERE sequence = 5"))()  # noqa: S608  # constants

    with pytest.raises(CopyRefusedError, match="Event 5 differs in TARGET"):
        await copy_log(source, target)


@pytest.mark.parametrize(("role", "name"), [("source", "SOURCE"), ("target", "TARGET")])
async def test_missing_entry_is_named(source: SqliteLog, target: SqliteLog, role: str, name: str) -> None:
    """A gap is never copied."""
    await copy_log(source, target)
    log = source if role == "source" else target
    await log._writer.bind(lambda db: db.execute("DELETE FROM entry WHERE sequence = 5"))()

    with pytest.raises(CopyRefusedError, match=f"{name} has no event 5"):
        await copy_log(source, target)


@pytest.mark.parametrize("fault", [Fault.RESPONSE_LOST, Fault.REQUEST_LOST, Fault.FIRST_ONLY])
async def test_append_with_an_unknown_outcome_is_looked_up(source: SqliteLog, target: SqliteLog, fault: Fault) -> None:
    """No entry is lost or copied twice, whatever part of an append is stored."""
    report = await copy_log(source, FaultyImportLog(target, Fault.NONE, fault, fault))

    assert (10, 10) == report[:2]
    assert await all_entries(source) == await all_entries(target)


async def test_event_of_a_service_in_the_target_ends_the_copy(source: SqliteLog, target: SqliteLog) -> None:
    """The service and the copy append by compare-and-swap, so neither overwrites the other."""
    copy = LogCopy(source, target)
    await copy.start()
    running = copy.steps()
    await anext(running)
    own = entry(4)
    await target.append([own], after=3)

    with pytest.raises(BulkAppendError, match="Sequence 4 was written by another process"):
        await anext(running)
    assert own == (await all_entries(target))[-1]


class StutteringLog(FaultyLog):
    """A log whose every second read fails."""

    async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
        """Fail, or read."""
        self.follows += 1
        if self.follows % 2:
            raise Unavailable("busy")
        return await self._log.follow(after=after, limit=limit)


async def test_reads_are_repeated_while_the_store_does_not_respond(source: SqliteLog, target: SqliteLog) -> None:
    """A store limits its requests."""
    assert (10, 10) == (await copy_log(StutteringLog(source), target))[:2]


@pytest.mark.parametrize(
    "failure", [Unavailable("away"), OutcomeUnknown("lost"), StoreUnusable("full"), LogDamaged("x")]
)
async def test_store_that_stays_away_ends_the_copy(
    source: SqliteLog, target: SqliteLog, monkeypatch: pytest.MonkeyPatch, failure: Unavailable
) -> None:
    """A bounded number of attempts, then the failure."""
    attempts = list[int]()

    async def fail(**_: int) -> Sequence[Entry]:
        attempts.append(1)
        raise failure

    monkeypatch.setattr(source, "follow", fail)

    with pytest.raises(type(failure), match=str(failure)):
        await copy_log(source, target)
    assert len(attempts) == (1 if isinstance(failure, StoreUnusable | LogDamaged) else 8)


async def test_unfinished_copy_is_neither_served_nor_copied(
    source: SqliteLog, target: SqliteLog, tmp_path: Path
) -> None:
    """A service would append to it, and a copy of it would look complete."""
    copy = LogCopy(source, target)
    await copy.start()
    await anext(copy.steps())
    opened = SqliteLog(tmp_path / "target.db", new_name=new_name)

    openings: Sequence[Callable[[], Awaitable[None]]] = (opened.open, opened.open_to_read)
    for each in openings:
        with pytest.raises(StoreUnusable, match=r"Run the same command again: .* eventfeed store copy"):
            await each()
    await copy_log(source, target)
    await opened.open()
    await opened.close()
