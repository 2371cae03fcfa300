"""Work that concurrent callers share."""

import asyncio

import pytest

from eventfeed.single_flight import SingleFlight


class Work:
    """Some work, with its runs so far. A run ends when the test calls `finish`."""

    def __init__(self) -> None:
        self.runs = 0
        self.failure: Exception | None = None
        self._end = asyncio.Event()

    async def __call__(self) -> None:
        """Run until the end."""
        self.runs += 1
        await self._end.wait()
        if self.failure:
            raise self.failure

    def finish(self) -> None:
        """End the run in progress. Later runs end at once."""
        self._end.set()


async def run_ready_tasks() -> None:
    """Let every task that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_concurrent_callers_share_one_run() -> None:
    """A caller after the end of the run starts another."""
    flight, work = SingleFlight[None](), Work()
    callers = [asyncio.create_task(flight.run(work)) for _ in range(3)]
    await run_ready_tasks()
    during = flight.is_running, work.runs
    work.finish()
    await asyncio.gather(*callers)
    after = flight.is_running
    await flight.run(work)

    assert ((True, 1), False, 2) == (during, after, work.runs)


async def test_failure_of_a_run_reaches_every_caller() -> None:
    """The next run may succeed."""
    flight, work = SingleFlight[None](), Work()
    work.failure = ValueError("the store does not respond")
    callers = [asyncio.create_task(flight.run(work)) for _ in range(3)]
    await run_ready_tasks()
    work.finish()
    results = await asyncio.gather(*callers, return_exceptions=True)
    work.failure = None
    await flight.run(work)

    assert [ValueError] * 3 == [type(result) for result in results]
    assert 2 == work.runs


async def test_cancelled_caller_does_not_cancel_the_run() -> None:
    """The other callers get the result of the run."""
    flight, work = SingleFlight[None](), Work()
    first, second = asyncio.create_task(flight.run(work)), asyncio.create_task(flight.run(work))
    await run_ready_tasks()
    first.cancel()
    await run_ready_tasks()
    work.finish()
    await second

    assert (True, 1) == (first.cancelled(), work.runs)


async def test_failure_without_any_caller_left_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Every caller was cancelled, so no task retrieves the failure."""
    flight, work = SingleFlight[None](), Work()
    work.failure = ValueError("the store does not respond")
    caller = asyncio.create_task(flight.run(work))
    await run_ready_tasks()
    caller.cancel()
    work.finish()
    await run_ready_tasks()

    assert (False, []) == (flight.is_running, caplog.records)


async def test_run_after_never_uses_the_run_in_progress() -> None:
    """The run in progress may have read before the call. Later callers share the next run."""
    flight, work = SingleFlight[None](), Work()
    early = asyncio.create_task(flight.run(work))
    await run_ready_tasks()
    late = [asyncio.create_task(flight.run_after(work)) for _ in range(3)]
    await run_ready_tasks()
    during = work.runs
    work.finish()
    await asyncio.gather(early, *late)

    assert (1, 2) == (during, work.runs)


async def test_run_after_without_a_run_in_progress_starts_one() -> None:
    """The caller does not wait for another run."""
    flight, work = SingleFlight[None](), Work()
    work.finish()
    await flight.run_after(work)

    assert 1 == work.runs


async def test_work_of_other_keys_runs_on_its_own() -> None:
    """Callers with one key share its run and its result. A key is forgotten at the end of its run."""
    flight, work = SingleFlight[int](), Work()

    async def run() -> int:
        await work()
        return work.runs

    callers = [asyncio.create_task(flight.run(run, key=key)) for key in ("one", "two", "one", None)]
    await run_ready_tasks()
    during = work.runs
    work.finish()
    results = await asyncio.gather(*callers)

    assert (3, [3, 3, 3, 3], False) == (during, results, flight.is_running)
    assert 4 == await flight.run(run, key="one")
