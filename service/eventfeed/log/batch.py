"""A batch of submissions: planned for the end of the log, written there, and answered."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import assert_never

from eventfeed.domain.event import Entry, Event
from eventfeed.domain.ports import Head, Lookup, StoredEvent
from eventfeed.domain.publishing import NewEvent, Receipt, Submission, plan_batch
from eventfeed.domain.publishing import Outcome as PlannedOutcome
from eventfeed.log.clock import MachineClock

Outcome = Sequence[Receipt] | Exception


class Batch:
    """Submissions that are written together, in one or more attempts, each with a write id of its own.

    `rest` holds the entries of the attempt that are not known to be stored, `after` the position that they follow.
    """

    def __init__(self, submissions: Sequence[Submission], *, clock: MachineClock, write_id: str) -> None:
        self._submissions, self._clock = submissions, clock
        self.events = [event for submission in submissions for event in submission.events]
        # True once some entries of any attempt are stored.
        self.is_partly_in = False
        # The write ids of all attempts, the last one's at the end.
        self._write_ids = [write_id]
        self._outcomes: Sequence[PlannedOutcome] = ()
        self._entries: Sequence[Entry] = ()
        # True once this attempt has entries to write.
        self.is_planned = False
        # The position of the newest event that this batch repeats; 0 if there is none.
        self.repeats_up_to = 0
        self.rest: Sequence[Entry] = ()
        self.after = 0

    @property
    def size(self) -> int:
        """Number of new events."""
        return len(self._entries)

    def restart(self, write_id: str) -> None:
        """Begin another attempt, which is planned anew."""
        self._write_ids.append(write_id)
        self.is_planned = False

    def plan(self, lookup: Lookup, end: Head) -> Sequence[Entry]:
        """Return the entries to write after this end of the log: see `Plan`. Raises `NotDone` by a wrong clock."""
        plan, time = plan_batch(self._submissions, lookup), max(self._clock.wall() // 1_000, end.time)
        self._clock.require_accurate()
        self._entries = [
            Entry(
                sequence=sequence,
                time=time,
                write_id=self._write_ids[-1],
                event=event if event.future_time is None else event.registered(time),
            )
            for sequence, event in enumerate(plan.events, start=end.end_offset + 1)
        ]
        self.repeats_up_to = max((each.sequence for each in lookup.identities.values()), default=0)
        self._outcomes, self.rest, self.after = plan.outcomes, self._entries, end.end_offset
        self.is_planned = True
        return self._entries

    def note_stored(self, entries: Sequence[Entry]) -> bool:
        """Note the entries that the log has after `after`. Return False if another writer's are among them."""
        own = sum(entry.write_id == self._write_ids[-1] for entry in entries)
        self.is_partly_in = self.is_partly_in or own > 0
        self.rest, self.after = self.rest[own:], self.after + own
        return own == len(entries)

    def outcomes(self) -> Sequence[Outcome]:
        """Return the outcome of each submission, once every entry is stored."""
        write_ids = set(self._write_ids)
        return [
            outcome
            if isinstance(outcome, Exception)
            else [
                self._receipt(event, each, write_ids=write_ids)
                for event, each in zip(submission.events, outcome, strict=True)
            ]
            for submission, outcome in zip(self._submissions, self._outcomes, strict=True)
        ]

    def _receipt(self, event: Event, stored_or_new: StoredEvent | NewEvent, *, write_ids: AbstractSet[str]) -> Receipt:
        """Return an event's receipt. A stored event is a duplicate unless an attempt of this batch wrote it."""
        match stored_or_new:
            case StoredEvent(sequence=sequence, time=time, write_id=write_id):
                duplicate = write_id not in write_ids
            case NewEvent(index=index, is_repeat=duplicate):
                sequence, time = self._entries[index].sequence, self._entries[index].time
            case _:
                assert_never(stored_or_new)
        return Receipt(identity=event.identity, sequence=sequence, time=time, duplicate=duplicate)
