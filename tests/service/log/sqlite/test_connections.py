"""The SQLite library, and the meaning of its errors."""

import asyncio
import contextlib
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from eventfeed.log.sqlite.connections import ConnectionPool, StoreConnection, require_sound_library
from eventfeed.log.sqlite.files import StoreFiles
from eventfeed.settings import SettingsError
from tests.support.engines import open_sqlite_log

THREADS = 3


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[ConnectionPool]:
    """Threads with connections to an empty log."""
    async with open_sqlite_log(tmp_path / "log.db"):
        pool = ConnectionPool(StoreFiles(tmp_path / "log.db"), count=THREADS, writes=False)
        yield pool
        await pool.close()


def thread_and_connection(db: StoreConnection) -> tuple[int, StoreConnection]:
    """Return where a function runs."""
    return threading.get_ident(), db


async def test_calls_one_after_another_use_one_thread_and_connection(pool: ConnectionPool) -> None:
    """Its cache has the pages and the statements of the calls before."""
    call = pool.bind(thread_and_connection)
    places = [await call() for _ in range(5)]

    assert 1 == len(set(places))
    assert threading.get_ident() != places[0][0]


async def test_calls_at_the_same_time_use_all_threads_and_no_more(pool: ConnectionPool) -> None:
    """Each call waits until as many run as there are threads."""
    barrier = threading.Barrier(THREADS)

    def meet(db: StoreConnection) -> tuple[int, StoreConnection]:
        barrier.wait(60)
        return thread_and_connection(db)

    places = await asyncio.gather(*(pool.bind(meet)() for _ in range(2 * THREADS)))

    assert THREADS == len(set(places)) == len({db for _, db in places})


async def test_function_that_fails_fails_its_call_alone(pool: ConnectionPool) -> None:
    """The thread goes on with the next call."""

    def fail(_: StoreConnection) -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await pool.bind(fail)()

    assert threading.get_ident() != (await pool.bind(thread_and_connection)())[0]


async def test_call_of_a_cancelled_caller_does_not_begin(pool: ConnectionPool) -> None:
    """A request whose client is gone reads nothing."""
    begin, calls = threading.Event(), list[int]()
    running = [asyncio.ensure_future(pool.bind(lambda _: begin.wait(60))()) for _ in range(THREADS)]
    waiting = asyncio.ensure_future(pool.bind(lambda _: calls.append(1))())
    waiting.cancel()
    begin.set()
    await asyncio.gather(*running)
    await pool.bind(thread_and_connection)()

    assert [] == calls


async def test_closed_pool_has_no_threads(pool: ConnectionPool) -> None:
    """Calls under way end first."""
    calls = [asyncio.ensure_future(pool.bind(thread_and_connection)()) for _ in range(5)]
    await pool.close()
    threads = {thread for thread, _ in await asyncio.gather(*calls)}

    assert threads
    assert threads.isdisjoint(thread.ident for thread in threading.enumerate())


async def test_closed_pool_refuses_calls(pool: ConnectionPool) -> None:
    """A call that comes late fails. It does not wait for ever, and opens no connection."""
    await pool.bind(thread_and_connection)()
    await pool.close()

    with pytest.raises(RuntimeError, match="closed"):
        await pool.bind(thread_and_connection)()


async def test_pool_works_after_a_thread_could_not_start(pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may have no thread left for a while: that call fails alone."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="start"):
            await pool.bind(thread_and_connection)()

    assert threading.get_ident() != (await pool.bind(thread_and_connection)())[0]


async def test_failure_keeps_no_argument_in_memory(pool: ConnectionPool) -> None:
    """A batch that failed is freed with its failure, and waits for no garbage collection."""

    class Batch:
        """An argument."""

    def fail(_: StoreConnection, batch: Batch) -> None:
        raise ValueError(str(type(batch)))

    async def call() -> weakref.ref[Batch]:
        batch = Batch()
        with contextlib.suppress(ValueError):
            await pool.bind(fail)(batch)
        return weakref.ref(batch)

    gc.disable()
    try:
        batch = await call()
        await pool.bind(thread_and_connection)()  # the thread has left the call

        assert batch() is None
    finally:
        gc.enable()


def test_library_of_this_environment_is_sound() -> None:
    """The wheel of apsw contains a SQLite without the WAL-reset defect."""
    require_sound_library(apsw.sqlite_lib_version())


@pytest.mark.parametrize("version", ["3.7.0", "3.40.1", "3.51.2", "3.9.2"])
def test_library_that_can_lose_a_commit_is_refused(version: str) -> None:
    """The message names the version and the remedy."""
    with pytest.raises(SettingsError, match=f"SQLite {version} .*3.51.3.*apsw"):
        require_sound_library(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.51.10", "3.54.1", "4.0.0"])
def test_library_without_the_defect_is_accepted(version: str) -> None:
    """Versions are compared as numbers, not as text."""
    require_sound_library(version)
