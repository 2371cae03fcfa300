"""The check of entries as they follow each other in a store, on any engine."""

from collections.abc import Iterator, Sequence

from eventfeed.domain.event import Entry
from eventfeed.domain.ports import Head


class EntryCheck:
    """Takes the entries of a log with this head, in order, and finds gaps, times that decrease, and another end."""

    def __init__(self, head: Head) -> None:
        self._head, self.position = head, head.log_start
        self._time = 0

    def faults(self, entries: Sequence[Entry]) -> Iterator[str]:
        """Yield the faults of the next entries."""
        for entry in entries:
            if entry.sequence != self.position + 1:
                yield f"Sequence {entry.sequence} follows {self.position}."
            if entry.time < self._time:
                yield f"Entry {entry.sequence} was registered before the entry that it follows."
            self.position, self._time = entry.sequence, entry.time

    def end_faults(self) -> Iterator[str]:
        """Yield the faults after the last entry."""
        if self.position < self._head.end_offset:
            yield f"Nothing follows sequence {self.position}, but the log ends at {self._head.end_offset}."
        elif self._time > self._head.time:
            yield "The last entry was registered after the time that the log records."
