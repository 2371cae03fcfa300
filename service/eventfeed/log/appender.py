"""The appender: the one place of this process where the log grows.

Publishes wait in a bounded queue. While one batch is being written the next one grows, so that many publishers share
one durable write. A batch is settled against one pinned tail and created right after that same tail: what came in
between makes the create fail, so neither an identity nor an instance's owner can be raced.

After a refusal or silence nothing is assumed. The positions tell: the batch's mark is there, then it is in; another's,
then the race is lost and all is settled anew; nothing, then the very same entries go to the very same positions again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple, assert_never

from eventfeed.domain.errors import Unavailable
from eventfeed.domain.event import Entry, Event
from eventfeed.domain.ports import Clock, EventLog, Head, StoredEvent
from eventfeed.domain.publishing import BatchPlan, NewEvent, Receipt, Submission, plan_batch
from eventfeed.log.memory.tail import Tail
from eventfeed.telemetry.metrics import APPEND_DURATION, BATCH_SIZE, BATCH_WAIT, RACES_LOST
from eventfeed.telemetry.tracing import CLIENT, doing

# What may wait: some seconds of writing. More would only make publishers wait longer for a refusal.
QUEUE_EVENTS_MAX = 10_000
QUEUE_BYTES_MAX = 64 * 1024 * 1024
# How long one batch is tried before its publishers are told to repeat.
WRITE_SECONDS_MAX = 10.0
# After a lost race or a failure: a random part of this, doubled each time up to the most.
BACKOFF_SECONDS = 0.005
BACKOFF_SECONDS_MAX = 0.5
# After a lost race no longer than a few writes take: the winner goes on at once, and would win again and again.
RACE_SECONDS_MAX = 0.02
# A clock far ahead would stamp a time that all writers after it must keep.
CLOCK_SKEW_MAX = 5_000_000


class Appender:
    """Appends what publishers submit, in the order they came. `run` must be running.

    `new_write_id` gives a text never given before, `random` a number in [0, 1).
    """

    def __init__(
        self,
        log: EventLog,
        tail: Tail,
        *,
        clock: Clock,
        new_write_id: Callable[[], str],
        random: Callable[[], float],
    ) -> None:
        self._log, self._tail, self._clock = log, tail, clock
        self._new_write_id, self._random = new_write_id, random
        self._waiting: deque[_Waiting] = deque()
        self._waiting_events = 0
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()

    @property
    def depth(self) -> int:
        """Events that wait to be written."""
        return self._waiting_events

    async def publish(self, submission: Submission) -> Sequence[Receipt]:
        """Receipts in the order of the events, when all of them are durably in the log.

        Raises `EventConflict` or `ForeignSource` when nothing of it was written, `Unavailable` when the queue is full
        or the store did not take it in time; then some of it may be in, and repeating it is safe.
        """
        events, weight = len(submission.events), submission.weight
        if self._waiting_events + events > QUEUE_EVENTS_MAX or self._waiting_bytes + weight > QUEUE_BYTES_MAX:
            raise Unavailable("Too many events are waiting to be written.")
        waiting = _Waiting(submission)
        self._waiting.append(waiting)
        self._waiting_events += events
        self._waiting_bytes += weight
        self._arrived.set()
        return await waiting.receipts

    def require_clock(self) -> None:
        """Raises `Unavailable` while this machine's clock differs from the store's by more than `CLOCK_SKEW_MAX`."""
        drift = self._log.clock_skew
        if drift > CLOCK_SKEW_MAX:
            raise Unavailable(
                f"The clock of this machine is {drift // 1_000_000} s from the store's: it appends nothing until then.",
                retry_seconds=5,
            )

    async def run(self) -> None:
        """Write batches until cancelled; then whoever still waits is told to repeat."""
        batch: Sequence[_Waiting] = ()
        try:
            while True:
                await self._arrived.wait()
                batch = self._next_batch()
                try:
                    answers = await self._committed(batch)
                except Exception as failure:  # noqa: BLE001  # a defect is told to its publishers, and stops nobody else
                    answers = [failure] * len(batch)
                for waiting, answer in zip(batch, answers, strict=True):
                    waiting.resolve(answer)
        finally:
            for waiting in (*batch, *self._waiting):
                waiting.resolve(Unavailable("The service is stopping."))

    def _next_batch(self) -> "Sequence[_Waiting]":
        """As many whole submissions, in order, as one append takes."""
        batch, events, weight = list[_Waiting](), 0, 0
        while self._waiting:
            submission = self._waiting[0].submission
            events += len(submission.events)
            weight += submission.weight
            if batch and (events > self._log.batch_entries_max or weight > self._log.batch_bytes_max):
                break
            batch.append(self._waiting.popleft())
            self._waiting_events -= len(submission.events)
            self._waiting_bytes -= submission.weight
        if not self._waiting:
            self._arrived.clear()
        return batch

    async def _committed(self, batch: "Sequence[_Waiting]") -> Sequence["_Outcome"]:
        """What each of these comes to, measured and traced."""
        started, engine = asyncio.get_running_loop().time(), self._log.engine
        for waiting in batch:
            BATCH_WAIT.record(started - waiting.since, engine)
        with doing("append", attributes={"eventfeed.engine": engine}, within=[each.submission.trace for each in batch]):
            answers = await self._commit([waiting.submission for waiting in batch])
        APPEND_DURATION.record(asyncio.get_running_loop().time() - started, engine)
        return answers

    async def _commit(self, submissions: Sequence[Submission]) -> Sequence["_Outcome"]:
        """Settle and write a batch, anew after each lost race; what each submission comes to."""
        events = [event for submission in submissions for event in submission.events]
        budget, write_ids = RetryBudget(self._random), set[str]()
        while True:
            pinned, write_id = self._tail.head, self._new_write_id()
            write_ids.add(write_id)
            with doing("find", kind=CLIENT, attributes={"db.system.name": self._log.engine}):
                found = await self._log.find(events)
            self.require_clock()
            plan = plan_batch(submissions, found)
            entries = self._numbered(plan.fresh, pinned=pinned, write_id=write_id)
            if await self._write(entries, budget):
                BATCH_SIZE.record(len(entries), self._log.engine)
                await self._show(max((known.sequence for known in found.identities.values()), default=0))
                return _outcomes(submissions, plan, written=_Written(entries=entries, write_ids=write_ids))
            RACES_LOST.add(1, self._log.engine)
            await budget.wait(longest=RACE_SECONDS_MAX)
            await self._tail.look(past=self._tail.head.end_offset + 1)

    async def _show(self, known: int) -> None:
        """Who gives a receipt shows the event: also one that another process wrote, and this one has not seen yet."""
        if known > self._tail.head.end_offset:
            await self._tail.look(past=known)

    def _numbered(self, events: Sequence[Event], *, pinned: Head, write_id: str) -> Sequence[Entry]:
        time = max(self._clock(), pinned.time)
        return [
            Entry(sequence=pinned.end_offset + place, time=time, write_id=write_id, event=event)
            for place, event in enumerate(events, start=1)
        ]

    async def _write(self, entries: Sequence[Entry], budget: "RetryBudget") -> bool:
        """Write these entries at these positions: True when all are in, False when one is another writer's."""
        while entries:
            after = entries[0].sequence - 1
            try:
                await self._log.append(entries, after=after)
                there = entries
            except Unavailable:
                there = await self._there(after=after, limit=len(entries))
            if not there:
                await budget.wait()
                continue
            self._tail.learn(there)
            own = [entry for entry in there if entry.write_id == entries[0].write_id]
            if len(own) < len(there):
                return False
            entries = entries[len(own) :]
        return True

    async def _there(self, *, after: int, limit: int) -> Sequence[Entry]:
        """What stands at the positions in doubt; nothing when the store does not say: then the create decides."""
        try:
            return await self._log.follow(after=after, limit=limit)
        except Unavailable:
            return ()


class _Waiting:
    """A submission, and the future its publisher waits for."""

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        loop = asyncio.get_running_loop()
        self.since = loop.time()
        self.receipts: asyncio.Future[Sequence[Receipt]] = loop.create_future()

    def resolve(self, outcome: "_Outcome") -> None:
        """Tell the publisher, unless it has gone or knows already."""
        if self.receipts.done():
            return
        if isinstance(outcome, Exception):
            self.receipts.set_exception(outcome)
        else:
            self.receipts.set_result(outcome)


class RetryBudget:
    """How long a batch is tried, and the waits in between."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._most = BACKOFF_SECONDS
        self._deadline = asyncio.get_running_loop().time() + WRITE_SECONDS_MAX

    async def wait(self, *, longest: float = BACKOFF_SECONDS_MAX) -> None:
        """Wait a random while, longer each time up to the `longest`. Raises `Unavailable` when the time is up."""
        if asyncio.get_running_loop().time() > self._deadline:
            raise Unavailable(
                "The log did not confirm the events in time. Repeating the publish is safe.", retry_seconds=2
            )
        await asyncio.sleep(self._random() * min(self._most, longest))
        self._most = min(2 * self._most, BACKOFF_SECONDS_MAX)


class _Written(NamedTuple):
    """What a batch wrote in the end, and the marks of all its tries."""

    entries: Sequence[Entry]
    write_ids: AbstractSet[str]

    def receipt(self, event: Event, place: StoredEvent | NewEvent) -> Receipt:
        """An event found in the log is a duplicate unless one of our own tries put it there."""
        match place:
            case StoredEvent(sequence=sequence, time=time, write_id=write_id):
                duplicate = write_id not in self.write_ids
            case NewEvent(index=index, repeated=duplicate):
                sequence, time = self.entries[index].sequence, self.entries[index].time
            case _:
                assert_never(place)
        return Receipt(identity=event.identity, sequence=sequence, time=time, duplicate=duplicate)


_Outcome = Sequence[Receipt] | Exception


def _outcomes(submissions: Sequence[Submission], plan: BatchPlan, *, written: _Written) -> Sequence[_Outcome]:
    return [
        answer
        if isinstance(answer, Exception)
        else [written.receipt(event, place) for event, place in zip(submission.events, answer, strict=True)]
        for submission, answer in zip(submissions, plan.answers, strict=True)
    ]
