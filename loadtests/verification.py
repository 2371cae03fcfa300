"""Compare pages with the receipts of a run: a feed must have every event once, in order, and no event of another feed.

The ledger holds the position and time of each receipt. A follower checks each page: every event with a receipt that the
page's cursor has passed must be on the page. An event can arrive before its receipt and is kept until the receipt
comes. A page that reports the end of the feed must have every event whose receipt is older than a second. An event is
identified by its id, and must be at the position of its receipt.
"""

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

# The number of events whose publish time is kept, and of cases whose receipts are kept.
EVENTS_MAX = 200_000
CASES_MAX = 500
# A permanent failure would fill the memory with evidence.
EVIDENCE_MAX = 1_000
# A page that ends a feed must have the receipts older than this when it was requested (s): four times the promise.
LATE_SECONDS = 1.0
# A reader that stops must have had the receipts older than this (s): longer than any poll waits.
STOP_SECONDS = 15.0

Event = Mapping[str, object]
T = TypeVar("T")


class Violation(NamedTuple):
    """An event that must never happen: the scenario, the kind, and the evidence."""

    scenario: str
    kind: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.scenario}: {self.kind}: {self.evidence}"


class Receipt(NamedTuple):
    """A position in the log, the time of its receipt (s, monotonic clock), and the id of the event there."""

    sequence: int
    time: float
    event_id: str


class Case(NamedTuple):
    """An instance of an app, and the receipts of its events in order of arrival."""

    party: str
    guid: str
    receipts: list[Receipt]


class Page(NamedTuple):
    """A page: its events, the time of the request (s, monotonic clock), its cursor's position, and `Feed-More`."""

    events: Sequence[Event]
    request_time: float
    position: int
    more: bool


class Ledger:
    """The receipts of this run, by the feeds that must contain them. Receipts of feeds without readers are not kept."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything before a new run."""
        self.evidence: list[Violation] = []
        self.counts = Counter[tuple[str, str]]()
        self.cases: deque[Case] = deque(maxlen=CASES_MAX)
        self._readers: dict[str, list[deque[Receipt]]] = {}
        self._publish_times: OrderedDict[str, float] = OrderedDict()
        self._receipts: OrderedDict[str, Receipt] = OrderedDict()

    def subscribe(self, feed: str) -> deque[Receipt]:
        """Return a queue for one reader, which gets every receipt of a feed from now on."""
        receipts = deque[Receipt]()
        self._readers.setdefault(feed, []).append(receipts)
        return receipts

    def unsubscribe(self, feed: str, receipts: deque[Receipt]) -> None:
        """Remove the queue of a reader."""
        self._readers[feed] = [each for each in self._readers.get(feed, ()) if each is not receipts]

    def record_publish(self, event_id: str, time: float) -> None:
        """Record that an event is about to be published."""
        _put(self._publish_times, event_id, time)

    def record_receipt(self, receipt: Receipt, *, feeds: Iterable[str]) -> None:
        """Record the receipt of an event that these feeds must contain."""
        _put(self._receipts, receipt.event_id, receipt)
        for feed in feeds:
            for receipts in self._readers.get(feed, ()):
                receipts.append(receipt)

    def is_recent(self, event_id: str) -> bool:
        """True if this run published the event recently."""
        return event_id in self._publish_times

    def age(self, event_id: str, now: float) -> float | None:
        """The time since the event was published (s), None if this run did not publish it recently."""
        return now - self._publish_times[event_id] if event_id in self._publish_times else None

    def lag(self, event_id: str, now: float) -> float | None:
        """The time since the receipt (s), 0 without receipt, None if this run did not publish the event recently."""
        if event_id not in self._publish_times:
            return None
        receipt = self._receipts.get(event_id)
        return max(0.0, now - receipt.time) if receipt else 0.0

    def position(self, event_id: str) -> int | None:
        """The position of the event's receipt, None if there is no receipt yet or it is of another run."""
        receipt = self._receipts.get(event_id)
        return receipt.sequence if receipt else None

    def record_violation(self, violation: Violation) -> None:
        """Count a violation, and keep its evidence."""
        self.counts[violation.scenario, violation.kind] += 1
        if len(self.evidence) < EVIDENCE_MAX:
            self.evidence.append(violation)

    def hand_over(self) -> tuple[list[Violation], list[tuple[str, str, int]]]:
        """Return evidence and counts since the last call, and forget them."""
        evidence = self.evidence
        counts = [(scenario, kind, count) for (scenario, kind), count in self.counts.items()]
        self.evidence, self.counts = [], Counter()
        return evidence, counts

    def take_over(self, evidence: Iterable[Iterable[str]], counts: Iterable[tuple[str, str, int]]) -> None:
        """Add evidence and counts of another ledger."""
        self.evidence += [Violation(*each) for each in evidence][: EVIDENCE_MAX - len(self.evidence)]
        for scenario, kind, count in counts:
            self.counts[scenario, kind] += count


class Follower:
    """Compares the pages of one reader with the ledger. `belongs` is true for an event that the reader may see.

    Without a feed it compares the pages with the receipts of `expect` only.
    """

    def __init__(
        self, ledger: Ledger, scenario: str, *, belongs: Callable[[Event], bool], size: int, feed: str = ""
    ) -> None:
        self._ledger, self._scenario, self._belongs, self._size = ledger, scenario, belongs, size
        self._feed, self._receipts = feed, ledger.subscribe(feed) if feed else deque[Receipt]()
        # The receipts whose events must still come, and the events that came before their receipt, by position.
        self._pending, self._early = dict[int, Receipt](), dict[int, str]()
        self._start = self._position = 0
        self._violations = list[str]()

    def begin(self, position: int) -> None:
        """Start after a position. Receipts up to there do not count."""
        self._start = self._position = position

    def expect(self, receipts: Iterable[Receipt]) -> None:
        """Require the events of these receipts."""
        self._pending.update({receipt.sequence: receipt for receipt in receipts})

    def check_page(self, page: Page) -> Sequence[str]:
        """Compare a page with the ledger, and return the kinds of its violations."""
        self._read_receipts()
        sequences = [int(str(event["sequence"])) for event in page.events]
        self._check_order(sequences, position=page.position)
        for sequence, event in zip(sequences, page.events, strict=True):
            if not self._belongs(event):
                self._report("other feed", f"{event.get('source')} about {event.get('subject')}, {event.get('type')}")
            self._check_identity(sequence, str(event["id"]))
        due = {each for each in self._pending if each <= page.position}
        for sequence in sorted(due - set(sequences)):
            self._report("missed", f"{sequence} has a receipt and is not between {self._position} and {page.position}")
        for each in due:
            del self._pending[each]
        if page.more and page.position == self._position:
            self._report("cursor not moved", f"Feed-More is true, and the cursor stays at {page.position}")
        self._position = max(self._position, page.position)
        if not page.more:
            self._check_late(page.request_time - LATE_SECONDS)
        return self._take_violations()

    def check_unchanged(self, request_time: float) -> Sequence[str]:
        """Check a 304 to a request of this time, and return the kinds of its violations."""
        self._read_receipts()
        self._check_late(request_time - LATE_SECONDS)
        return self._take_violations()

    def end(self, now: float) -> None:
        """Check the receipts since the last page, and end."""
        self._read_receipts()
        self._check_late(now - STOP_SECONDS)
        self._ledger.unsubscribe(self._feed, self._receipts)

    def _take_violations(self) -> Sequence[str]:
        violations, self._violations = self._violations, []
        return violations

    def _read_receipts(self) -> None:
        """Compare new receipts with the events that came early. The others are pending."""
        while self._receipts:
            receipt = self._receipts.popleft()
            sequence = receipt.sequence
            if sequence in self._early:
                self._check_event(receipt, self._early.pop(sequence))
            elif sequence > self._position:
                self._pending[sequence] = receipt
            elif sequence > self._start:
                self._report("missed", f"{sequence} has a receipt now, and the page that passed it did not have it")
        for sequence, event_id in list(self._early.items()):
            if self._ledger.position(event_id) is not None:
                del self._early[sequence]
                self._check_position(event_id, sequence)

    def _check_identity(self, sequence: int, event_id: str) -> None:
        """Check that the event at a position is the one of the receipt, and at no other position."""
        if sequence in self._pending:
            self._check_event(self._pending[sequence], event_id)
        elif self._ledger.position(event_id) is not None:
            self._check_position(event_id, sequence)
        elif self._ledger.is_recent(event_id):
            self._early[sequence] = event_id

    def _check_event(self, receipt: Receipt, event_id: str) -> None:
        if event_id != receipt.event_id:
            self._report("another event", f"{event_id} at {receipt.sequence}, whose receipt is of {receipt.event_id}")

    def _check_position(self, event_id: str, sequence: int) -> None:
        position = self._ledger.position(event_id)
        if position != sequence:
            self._report("other position", f"{event_id} at {sequence}, its receipt says {position}")

    def _check_late(self, time: float) -> None:
        """Report each pending receipt from before this time, once."""
        for receipt in sorted(each for each in self._pending.values() if each.time < time):
            sequence = receipt.sequence
            self._report("late", f"{sequence} has an old receipt, and the feed ends at {self._position}")
            self._pending[sequence] = receipt._replace(time=math.inf)

    def _check_order(self, sequences: Sequence[int], *, position: int) -> None:
        if len(sequences) > self._size:
            self._report("over the cap", f"{len(sequences)} events on a page of {self._size}")
        if position < self._position:
            self._report("cursor moved back", f"the cursor went from {self._position} to {position}")
        if len(set(sequences)) < len(sequences):
            duplicates = sorted({each for each in sequences if sequences.count(each) > 1})
            self._report("duplicate", f"{duplicates} on one page")
        elif sequences != sorted(sequences):
            self._report("out of order", f"{sequences}")
        if sequences and min(sequences) <= self._position:
            self._report("duplicate", f"{min(sequences)} again, after {self._position}")
        if sequences and max(sequences) > position:
            self._report("ahead", f"{max(sequences)} is past the page's own cursor {position}")

    def _report(self, kind: str, evidence: str) -> None:
        self._violations.append(kind)
        self._ledger.record_violation(Violation(self._scenario, kind, evidence))


def _put(table: OrderedDict[str, T], event_id: str, value: T) -> None:
    table[event_id] = value
    if len(table) > EVENTS_MAX:
        table.popitem(last=False)
