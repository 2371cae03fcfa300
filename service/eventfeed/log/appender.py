"""The appender: the only part of a process that appends to the log.

Submissions wait in a bounded queue. While one batch is written the next one grows, so many publishers share one durable
write. A batch is planned for an end of the log and appended right after it: in one transaction, or so that the append
fails if another writer has appended since. So no other writer can store the same identity, or become the owner of the
same instance, in between. The end may be after the tail, where other processes have written: then the tail reads what
they wrote before it moves past the batch.

After a failed or unconfirmed append the appender reads the positions of the batch. If the entries there have its write
id, the batch is stored. If they have another write id, another writer was first, and the batch is planned again. If
the positions are empty, the same entries are appended again. An append that was certainly not done ends at once, and
the next batch follows. While an outcome stays unknown, nothing else is appended, and publishers get 503.

Each append has a price, so a busy appender waits a moment for the next batch to grow. An idle one never waits.
"""

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Callable, Sequence

from eventfeed.backoff import Backoff
from eventfeed.domain.errors import LogDamaged, NotDone, StoreUnusable, TailMoved, Unavailable
from eventfeed.domain.event import Entry
from eventfeed.domain.ports import EventLog
from eventfeed.domain.publishing import Receipt, Submission
from eventfeed.log.batch import Batch, Outcome
from eventfeed.log.clock import MachineClock
from eventfeed.log.doubt import Doubt, explain, without_turn
from eventfeed.log.memory.tail import Tail
from eventfeed.log.usability import usability_of_log
from eventfeed.telemetry.telemetry import Telemetry

# The queue holds the events of a few seconds. A longer queue would only delay the response 503.
QUEUE_EVENTS_MAX = 10_000
QUEUE_BYTES_MAX = 64 * 1024 * 1024
# Time for one batch (s) before its publishers get 503 and repeat.
WRITE_SECONDS_MAX = 10.0
# Delays after a lost race or a failure (s).
BACKOFF_SECONDS = 0.005
BACKOFF_SECONDS_MAX = 0.5
# The longest delay after a lost race (s), the time of a few writes: after a longer delay the loser would lose again.
RACE_SECONDS_MAX = 0.02


class Appender:
    """Appends submissions in the order of arrival. `run` must be running.

    `new_write_id` returns a unique text, `random` a number in [0, 1).
    """

    def __init__(
        self,
        log: EventLog,
        tail: Tail,
        *,
        clock: MachineClock,
        new_write_id: Callable[[], str],
        random: Callable[[], float],
        telemetry: Telemetry,
    ) -> None:
        self._log, self._tail, self._clock = log, tail, clock
        self._new_write_id, self._random, self._telemetry = new_write_id, random, telemetry
        self._queue: deque[PendingPublish] = deque()
        self._queue_events = 0
        self._queue_bytes = 0
        self._has_work = asyncio.Event()
        # The publishes of the batch under way.
        self._batch: Sequence[PendingPublish] = ()
        self._doubt = Doubt(self._refuse_publishes)
        self._usability = usability_of_log(log, tail)

    @property
    def notice(self) -> str:
        """A sentence for operators while the store does not respond, else ""."""
        return self._usability.notice

    @property
    def depth(self) -> int:
        """Events in the queue."""
        return self._queue_events

    def publish(self, submission: Submission) -> "asyncio.Future[Sequence[Receipt]]":
        """Queue a submission. The future gets the receipts, in the order of the events, once all of them are durable.

        Raises `EventConflict`, `ForeignSource` or `NotDone` if nothing was written. Raises `OutcomeUnknown` if some
        events may be stored; repeating the submission is safe.
        """
        if self._doubt.is_long:
            raise without_turn()
        pending, events = PendingPublish(submission), len(submission.events)
        if self._queue_events + events > QUEUE_EVENTS_MAX or self._queue_bytes + pending.size > QUEUE_BYTES_MAX:
            raise NotDone("Too many events are waiting to be written. Nothing was written.")
        self._queue.append(pending)
        self._queue_events += events
        self._queue_bytes += pending.size
        self._has_work.set()
        return pending.receipts

    async def require_usable(self) -> None:
        """Raise `Unavailable`, with the reason, while the store or this machine's clock allows no append."""
        await self._usability.require_usable()
        self._clock.require_accurate()

    async def run(self) -> None:
        """Write batches until cancelled; then fail the publishes still in the queue."""
        loop, busy_until, publishes = asyncio.get_running_loop(), float("-inf"), 0
        try:
            while True:
                await self._has_work.wait()
                if busy_until > loop.time():
                    await self._let_grow(publishes, until=busy_until)
                batch = self._batch = self._next_batch()
                try:
                    outcomes = await self._commit_observed(batch)
                except Unavailable as failure:
                    self._usability.refute(failure)
                    outcomes = [failure] * len(batch)
                except Exception as failure:  # noqa: BLE001  # a defect fails only the publishers of its batch
                    outcomes = [failure] * len(batch)
                for pending, outcome in zip(batch, outcomes, strict=True):
                    pending.resolve(outcome)
                publishes = len(batch) + len(self._queue)
                busy_until = loop.time() + self._log.linger_seconds_max if publishes > 1 else float("-inf")
        finally:
            for pending in (*self._batch, *self._queue):
                pending.resolve(Unavailable("The service is stopping."))

    async def _let_grow(self, publishes: int, *, until: float) -> None:
        """Wait for so many publishes, or a full batch, but not beyond a time (event loop, s).

        The number is that of the last batch and of those that waited meanwhile: mostly the same clients come again.
        """
        log = self._log
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while (
                    len(self._queue) < publishes
                    and self._queue_events < log.batch_entries_max
                    and self._queue_bytes < log.batch_bytes_max
                ):
                    self._has_work.clear()
                    await self._has_work.wait()

    def _refuse_publishes(self, failure: Unavailable) -> None:
        """Fail the publishes of the batch under way with `failure`, and those that wait, of which nothing was sent."""
        for pending in self._batch:
            pending.resolve(failure)
        for pending in self._queue:
            pending.resolve(without_turn())
        self._queue.clear()
        self._queue_events = self._queue_bytes = 0
        self._has_work.clear()

    def _next_batch(self) -> "Sequence[PendingPublish]":
        """Remove from the queue, in order, as many whole submissions as fit into one append."""
        batch, events, size = list[PendingPublish](), 0, 0
        while self._queue:
            pending = self._queue[0]
            events += len(pending.submission.events)
            size += pending.size
            if batch and (events > self._log.batch_entries_max or size > self._log.batch_bytes_max):
                break
            batch.append(self._queue.popleft())
            self._queue_events -= len(pending.submission.events)
            self._queue_bytes -= pending.size
        if self._queue:
            self._has_work.set()
        else:
            self._has_work.clear()
        return batch

    async def _commit_observed(self, batch: "Sequence[PendingPublish]") -> Sequence[Outcome]:
        """Commit a batch, with its span and measurements."""
        began, submissions = asyncio.get_running_loop().time(), [pending.submission for pending in batch]
        waits = [began - pending.since for pending in batch]
        traceparents = [submission.traceparent for submission in submissions]
        with self._telemetry.batch_started(self._log.engine, waits=waits, traceparents=traceparents):
            return await self._commit(submissions)

    async def _commit(self, submissions: Sequence[Submission]) -> Sequence[Outcome]:
        """Write a batch; return the outcome of each submission. A failure says what is known of the events."""
        batch = Batch(submissions, clock=self._clock, write_id=self._new_write_id())
        try:
            return await self._plan_and_write(batch)
        except (StoreUnusable, LogDamaged):
            self._telemetry.batch_failed(self._log.engine, "unusable")
            raise
        except Unavailable as failure:
            may_be_stored = batch.is_partly_in or self._doubt.failure is not None
            self._telemetry.batch_failed(self._log.engine, "unknown" if may_be_stored else "not_done")
            raise explain(failure, may_be_stored=may_be_stored) from failure
        finally:
            if self._doubt.failure is not None:
                self._doubt.end()

    async def _plan_and_write(self, batch: Batch) -> Sequence[Outcome]:
        """Plan and write a batch, again after each lost race."""
        budget, began = RetryBudget(self._random), asyncio.get_running_loop().time()
        while not await self._write(batch, budget):
            self._telemetry.race_lost(self._log.engine)
            await budget.wait(at_most=RACE_SECONDS_MAX)
            await self._tail.refresh(past=self._tail.head.end_offset + 1)
            batch.restart(self._new_write_id())
        seconds = asyncio.get_running_loop().time() - began
        self._telemetry.batch_written(self._log.engine, events=batch.size, seconds=seconds)
        return batch.outcomes()

    async def _write(self, batch: Batch, budget: "RetryBudget") -> bool:
        """Plan a batch and write it. Return False if a position has another write id, True if all entries are stored.

        Entries whose write has no known outcome are written again as they are, at the same positions.
        """
        append = functools.partial(self._log.append_new, batch.events, tail=self._tail.head, plan=batch.plan)
        while True:
            try:
                with self._telemetry.store_span("write", engine=self._log.engine):
                    await append()
                actual = batch.rest
                self._note_append(actual)
            except (StoreUnusable, LogDamaged):
                raise
            except Unavailable as failure:
                if isinstance(failure, TailMoved) and failure.actual < failure.expected:
                    return False  # the next look at the end explains it: an older copy may have been restored
                if not batch.is_planned:
                    raise
                self._doubt.note(failure)
                actual = await self._read_positions(after=batch.after, limit=len(batch.rest))
            if batch.rest and not actual:
                await budget.wait(reason=self._doubt.failure)
            elif not await self._verify(batch, actual):
                return False
            if not batch.rest:
                return True
            append = functools.partial(self._log.append, batch.rest, after=batch.after)

    def _note_append(self, entries: Sequence[Entry]) -> None:
        """Note that the store takes appends, if it has taken one."""
        if entries:
            self._usability.appended = asyncio.get_running_loop().time()
            if self._usability.fault is not None:
                self._usability.confirm()

    async def _verify(self, batch: Batch, actual: Sequence[Entry]) -> bool:
        """Move the tail past the entries at the positions of a batch. Return False if others than its own are there."""
        is_own = batch.note_stored(actual)
        if not is_own:
            self._doubt.end()  # another writer has the position, so no earlier request can take it
        # Other processes may have written what comes before, and what a batch without new events repeats.
        await self._tail.read_up_to(actual[0].sequence - 1 if actual else batch.repeats_up_to)
        self._tail.advance(actual)
        return is_own

    async def _read_positions(self, *, after: int, limit: int) -> Sequence[Entry]:
        """Return the entries at these positions, or none if the store does not respond: `append` is tried again."""
        try:
            return await self._log.follow(after=after, limit=limit)
        except Unavailable:
            return ()


class PendingPublish:
    """A submission in the queue, the bytes of its events, its arrival (event loop, s) and its receipts."""

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self.size = sum(len(event.body) for event in submission.events)
        loop = asyncio.get_running_loop()
        self.since = loop.time()
        self.receipts: asyncio.Future[Sequence[Receipt]] = loop.create_future()

    def resolve(self, outcome: Outcome) -> None:
        """Set the outcome, unless the publisher was cancelled or already has one."""
        if self.receipts.done():
            return
        if isinstance(outcome, Exception):
            self.receipts.set_exception(outcome)
        else:
            self.receipts.set_result(outcome)


class RetryBudget:
    """The time for one batch, and the delays between its attempts."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._deadline = asyncio.get_running_loop().time() + WRITE_SECONDS_MAX

    @functools.cached_property  # most batches need none
    def _backoff(self) -> Backoff:
        return Backoff(first=BACKOFF_SECONDS, longest=BACKOFF_SECONDS_MAX, random=self._random)

    async def wait(self, *, at_most: float = BACKOFF_SECONDS_MAX, reason: Unavailable | None = None) -> None:
        """Wait before the next attempt. Raises `Unavailable` when the time is up."""
        if asyncio.get_running_loop().time() > self._deadline:
            because = f" {reason}" if reason else ""
            raise Unavailable(f"The log did not confirm the events in time.{because}", retry_seconds=2)
        await asyncio.sleep(self._backoff.next_delay(at_most=at_most))
