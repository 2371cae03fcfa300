"""The lock file of a store: processes write one after the other, whatever becomes of the one that has the lock."""

import asyncio
import contextlib
import errno
import fcntl
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest

from eventfeed.domain.errors import StoreUnusable
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import app_feed
from eventfeed.domain.ports import Head, Lookup
from eventfeed.log.sqlite import connections
from eventfeed.log.sqlite.files import StoreFiles
from eventfeed.log.sqlite.log import SqliteLog
from eventfeed.log.sqlite.writer_lock import WriterLock
from tests.support.engines import open_sqlite_log
from tests.support.events import TTD, all_entries, entries, entry, event, new_entries
from tests.support.waiting import wait_until

# A program that takes the lock of the file that it is given, says so, and keeps it.
HOLDER = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print("HELD", flush=True)
time.sleep(3600)
"""


@pytest.fixture
def lock_path(tmp_path: Path) -> Path:
    """The lock file of the store."""
    return tmp_path / "log.lock"


@contextlib.contextmanager
def holding_process(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"HELD\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def is_free(path: Path) -> bool:
    """True if nobody has the lock."""
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


async def test_writer_that_is_killed_gives_its_lock_to_the_next(log: SqliteLog, lock_path: Path) -> None:
    """The append waits for it, and is done as soon as the kernel has released the lock."""
    with holding_process(lock_path) as process:
        append = asyncio.ensure_future(log.append(entries(1, 3), after=0))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(append), 0.05)
        process.send_signal(signal.SIGKILL)
        await append

    assert 3 == len(await all_entries(log))
    assert is_free(lock_path)


async def test_writer_that_stops_delays_others_for_a_limited_time(
    log: SqliteLog, lock_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their appends and probes fail, and nothing is written. Repeats and reads need no lock."""
    stored, new = event(), event()
    await log.append([entry(1, of=stored)], after=0)
    tail = await log.head()
    monkeypatch.setattr(connections, "BUSY_MILLISECONDS", 20)
    with holding_process(lock_path) as process:
        process.send_signal(signal.SIGSTOP)
        for call in (
            lambda: log.append([entry(2)], after=1),
            lambda: log.append_new([new], tail=tail, plan=new_entries(new)),
            lambda: log.expire(before=10),
            log.rename,
            log.probe,
        ):
            with pytest.raises(StoreUnusable, match="locked"):
                await call()
        await log.append_new([stored], tail=tail, plan=new_entries(stored))
        scan = await log.scan(app_feed(TTD), after=0, through=1, limit=9)

        assert tail == await log.head()
        assert 1 == len(scan.entries)


async def test_lock_that_comes_too_late_is_released(
    log: SqliteLog, lock_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that no longer waits for it does not keep it from others, and takes it again when it writes."""
    with monkeypatch.context() as short, holding_process(lock_path):
        short.setattr(connections, "BUSY_MILLISECONDS", 20)
        with pytest.raises(StoreUnusable):
            await log.append([entry(1)], after=0)
    await asyncio.to_thread(wait_until, lambda: is_free(lock_path))
    await log.append(entries(1, 2), after=0)

    assert 2 == len(await all_entries(log))
    assert is_free(lock_path)


async def test_second_wait_joins_the_first(tmp_path: Path) -> None:
    """A writer that gave up waits again while its thread still does: it gets the lock when the thread has it."""
    path, is_held = tmp_path / "lock", False
    lock = WriterLock(path)
    with holding_process(path) as process:
        for _ in range(2):
            with pytest.raises(apsw.BusyError), lock.hold(seconds=0.02):
                pass
        asyncio.get_running_loop().call_later(0.02, process.kill)

        def write() -> bool:
            with lock.hold(seconds=None):
                return not is_free(path)

        is_held = await asyncio.to_thread(write)

    assert is_held
    assert is_free(path)
    lock.close()


async def test_failure_of_a_write_releases_the_lock(log: SqliteLog, lock_path: Path) -> None:
    """Another process can write after a transaction that failed."""

    def fail(lookup: Lookup, end: Head) -> Sequence[Entry]:
        raise KeyError((lookup, end))

    with pytest.raises(KeyError):
        await log.append_new([event()], tail=await log.head(), plan=fail)

    assert is_free(lock_path)


async def test_removed_lock_file_is_no_fault(log: SqliteLog, lock_path: Path) -> None:
    """Processes that start later make another one. SQLite's own lock protects the file from both."""
    await log.append([entry(1)], after=0)
    lock_path.unlink()
    async with open_sqlite_log(lock_path.with_suffix(".db")) as other:
        await other.append([entry(2)], after=1)
        with holding_process(lock_path):
            await log.append([entry(3)], after=2)

        assert 3 == len(await all_entries(other))


async def test_program_without_the_lock_file_still_excludes_writers(log: SqliteLog, lock_path: Path) -> None:
    """It holds SQLite's lock only. An append waits for it, and has the lock file meanwhile."""
    await log.append([entry(1)], after=0)
    with closing(apsw.Connection(str(lock_path.with_suffix(".db")))) as db:
        db.execute("BEGIN IMMEDIATE")
        append = asyncio.ensure_future(log.append([entry(2)], after=1))
        await asyncio.to_thread(wait_until, lambda: not is_free(lock_path))
        db.execute("ROLLBACK")
        await append

    assert 2 == len(await all_entries(log))


async def test_lock_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """The message has the file and the reason."""
    (tmp_path / "log.lock").mkdir()
    with pytest.raises(StoreUnusable, match=r"log\.lock cannot be opened: Is a directory"):
        async with open_sqlite_log(tmp_path / "log.db"):
            pass


class FailingFlock:
    """`flock`, whose calls with these operations fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._flock, self.failures = fcntl.flock, dict[int, OSError]()
        monkeypatch.setattr(fcntl, "flock", self)

    def __call__(self, file: int, operation: int) -> None:
        """Lock or unlock a file, unless the operation is to fail."""
        if operation in self.failures:
            raise self.failures[operation]
        self._flock(file, operation)


NO_LOCKS = OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


async def test_file_that_cannot_be_locked_is_named(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publish gets 503 with the reason, and the next one its receipt."""
    flock, tail, new = FailingFlock(monkeypatch), await log.head(), event()
    flock.failures[fcntl.LOCK_EX | fcntl.LOCK_NB] = NO_LOCKS
    with pytest.raises(StoreUnusable, match=r"log\.lock cannot be locked: No locks available"):
        await log.append_new([new], tail=tail, plan=new_entries(new))
    flock.failures.clear()
    await log.append_new([new], tail=tail, plan=new_entries(new))

    assert 1 == len(await all_entries(log))


def test_wait_that_fails_does_not_count_as_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block does not run, and the failure does not outlast the wait."""
    flock, path = FailingFlock(monkeypatch), tmp_path / "log.lock"
    lock, runs = WriterLock(path), 0
    flock.failures[fcntl.LOCK_EX] = NO_LOCKS
    with holding_process(path):
        for _ in range(2):
            with pytest.raises(StoreUnusable, match="cannot be locked: No locks available"), lock.hold(seconds=60):
                runs += 1
    flock.failures.clear()
    with lock.hold(seconds=60):
        runs += 1

    assert 1 == runs
    lock.close()


def test_lock_is_not_taken_while_the_thread_releases_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both use one open file: the thread would release the lock of the block that runs."""
    path, is_releasing, may_release = tmp_path / "log.lock", threading.Event(), threading.Event()
    lock, flock = WriterLock(path), fcntl.flock

    def slow_flock(file: int, operation: int) -> None:
        if operation == fcntl.LOCK_UN and threading.current_thread().name == "writer lock":
            is_releasing.set()
            may_release.wait(60)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", slow_flock)
    with holding_process(path), pytest.raises(apsw.BusyError), lock.hold(seconds=0.02):
        pass
    assert is_releasing.wait(60)
    threading.Timer(0.05, may_release.set).start()
    with lock.hold(seconds=60):
        may_release.set()
        with lock._change:  # the thread has ended its part
            is_held = not is_free(path)

    assert is_held
    lock.close()


def test_lock_that_comes_after_the_end_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is closed while the thread waits. The lock ends with it."""
    path, errors = tmp_path / "log.lock", list[object]()
    monkeypatch.setattr(threading, "excepthook", errors.append)
    lock = WriterLock(path)
    with holding_process(path):
        with pytest.raises(apsw.BusyError), lock.hold(seconds=0.02):
            pass
        lock.close()
    wait_until(lambda: not lock._is_waiting or bool(errors))

    assert [] == errors
    assert is_free(path)


def test_unlock_that_fails_closes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block is done, and must not fail afterwards. The next one opens the file again."""
    flock, path = FailingFlock(monkeypatch), tmp_path / "log.lock"
    lock = WriterLock(path)
    flock.failures[fcntl.LOCK_UN] = NO_LOCKS
    with lock.hold(seconds=60):
        pass
    flock.failures.clear()
    was_free = is_free(path)
    with lock.hold(seconds=60):
        is_held = not is_free(path)

    assert (True, True) == (was_free, is_held)
    lock.close()


@pytest.mark.parametrize(("waited", "rest"), [(0.0, 5_000), (3.2, 1_800), (5.1, 0)])
async def test_waits_for_processes_and_programs_share_one_limit(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch, waited: float, rest: int
) -> None:
    """SQLite waits for as long as the wait for the lock file has left; afterwards its limit is as before."""
    timeouts, times = list[int](), itertools.chain([100.0], itertools.repeat(100.0 + waited))

    class RecordingConnection(connections.StoreConnection):
        def set_busy_timeout(self, milliseconds: int) -> None:
            timeouts.append(milliseconds)
            super().set_busy_timeout(milliseconds)

    files = StoreFiles(log._files.path)
    with closing(RecordingConnection(files, writes=True, cache_kib=256)) as db, monkeypatch.context() as manual:
        timeouts.clear()
        manual.setattr(connections, "time", SimpleNamespace(monotonic=lambda: next(times)))
        with connections.transaction(db, writes=True):
            pass
        db.lock.close()

    assert [rest, connections.BUSY_MILLISECONDS] == timeouts
