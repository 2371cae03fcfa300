"""What a reader must see, told by the receipts of this run: everything of its feed, once, in order, and nothing else.

The ledger knows where each event was put, and since when. A follower compares: what was receipted in the stretch that
a page has passed must be in that page; what comes before its receipt is kept until the receipt has come; and who is
told that there is no more must have had all that got its receipt a while before the question. An event is told by
its id: it is at the place of its receipt, and at no other.
"""

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

# Of so many events it is known when they were sent; of so many cases what they hold.
SENT_MAX = 200_000
CASES_MAX = 500
# A fault that stays would fill the memory with evidence.
EVIDENCE_MAX = 1_000
# A page that ends a feed must hold what got its receipt so long (s) before it was asked for: four times the promise.
LATE_SECONDS = 1.0
# Who stops reading must have had what got its receipt so long (s) before: longer than any poll waits.
LEFT_SECONDS = 15.0

Event = Mapping[str, object]
T = TypeVar("T")


class Violation(NamedTuple):
    """Something that must never happen: in which scenario, what kind, and what was seen."""

    scenario: str
    kind: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.scenario}: {self.kind}: {self.evidence}"


class Receipt(NamedTuple):
    """A place in the log, when it was known (s, of the monotonic clock), and the id of the event that is there."""

    sequence: int
    moment: float
    event_id: str


class Case(NamedTuple):
    """An instance of an app and the receipts of its events, in the order in which they came."""

    party: str
    guid: str
    receipts: list[Receipt]


class Page(NamedTuple):
    """What came, when it was asked for (s, of the monotonic clock), where it put the cursor, whether there is more."""

    events: Sequence[Event]
    asked: float
    position: int
    more: bool


class Ledger:
    """Receipts of this run, by the feeds that must show them. Feeds nobody watches are not kept."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin a run: nothing is known of one before."""
        self.evidence: list[Violation] = []
        self.counts = Counter[tuple[str, str]]()
        self.cases: deque[Case] = deque(maxlen=CASES_MAX)
        self._watching: dict[str, list[deque[Receipt]]] = {}
        self._sent: OrderedDict[str, float] = OrderedDict()
        self._receipted: OrderedDict[str, Receipt] = OrderedDict()

    def watch(self, feed: str) -> deque[Receipt]:
        """A feed's receipts from now on, in the order in which they come, for one reader to take out."""
        receipts = deque[Receipt]()
        self._watching.setdefault(feed, []).append(receipts)
        return receipts

    def unwatch(self, feed: str, receipts: deque[Receipt]) -> None:
        """A reader has ended."""
        self._watching[feed] = [each for each in self._watching.get(feed, ()) if each is not receipts]

    def sent(self, event_id: str, moment: float) -> None:
        """An event is on its way."""
        _kept(self._sent, event_id, moment)

    def receipted(self, receipt: Receipt, *, feeds: Iterable[str]) -> None:
        """An event has its place, and these feeds must show it."""
        _kept(self._receipted, receipt.event_id, receipt)
        for feed in feeds:
            for receipts in self._watching.get(feed, ()):
                receipts.append(receipt)

    def is_sent(self, event_id: str) -> bool:
        """Whether it is of this run, and not long ago."""
        return event_id in self._sent

    def age(self, event_id: str, now: float) -> float | None:
        """How long ago it was sent (s); None when it is of another run, or long ago."""
        return now - self._sent[event_id] if event_id in self._sent else None

    def lag(self, event_id: str, now: float) -> float | None:
        """How long ago it got its receipt (s), nothing when it has none yet; None when it is of another run."""
        if event_id not in self._sent:
            return None
        receipt = self._receipted.get(event_id)
        return max(0.0, now - receipt.moment) if receipt else 0.0

    def place(self, event_id: str) -> int | None:
        """Where its receipt says it is; None when it has none yet, or is of another run."""
        receipt = self._receipted.get(event_id)
        return receipt.sequence if receipt else None

    def violated(self, violation: Violation) -> None:
        """Count it, and keep the evidence."""
        self.counts[violation.scenario, violation.kind] += 1
        if len(self.evidence) < EVIDENCE_MAX:
            self.evidence.append(violation)

    def hand_over(self) -> tuple[list[Violation], list[tuple[str, str, int]]]:
        """What was found since the last time, and how often; it is another ledger's from now on."""
        found = self.evidence, [(scenario, kind, count) for (scenario, kind), count in self.counts.items()]
        self.evidence, self.counts = [], Counter()
        return found

    def take_over(self, evidence: Iterable[Iterable[str]], counts: Iterable[tuple[str, str, int]]) -> None:
        """What another ledger has handed over."""
        self.evidence += [Violation(*each) for each in evidence][: EVIDENCE_MAX - len(self.evidence)]
        for scenario, kind, count in counts:
            self.counts[scenario, kind] += count


class Follower:
    """One reader of a feed: compares each page with the ledger. `belongs` is whether it may see an event at all.

    Without a feed it compares with what it is told to expect, and with nothing else.
    """

    def __init__(
        self, ledger: Ledger, scenario: str, *, belongs: Callable[[Event], bool], size: int, feed: str = ""
    ) -> None:
        self._ledger, self._scenario, self._belongs, self._size = ledger, scenario, belongs, size
        self._feed, self._receipts = feed, ledger.watch(feed) if feed else deque[Receipt]()
        # What must be shown; and what was shown, by its place, before its receipt came.
        self._expected, self._early = dict[int, Receipt](), dict[int, str]()
        self._begun = self._position = 0
        self._faults = list[str]()

    def begin(self, position: int) -> None:
        """Start after a position: what was put before it is nothing to this reader."""
        self._begun = self._position = position

    def expect(self, receipts: Iterable[Receipt]) -> None:
        """These must be shown."""
        self._expected.update({receipt.sequence: receipt for receipt in receipts})

    def page(self, page: Page) -> Sequence[str]:
        """Compare a page with what is known; the kinds of its violations."""
        self._take_in()
        shown = [int(str(event["sequence"])) for event in page.events]
        self._order(shown, position=page.position)
        for sequence, event in zip(shown, page.events, strict=True):
            if not self._belongs(event):
                self._fault("another's", f"{event.get('source')} about {event.get('subject')}, {event.get('type')}")
            self._identified(sequence, str(event["id"]))
        passed = {each for each in self._expected if each <= page.position}
        for missed in sorted(passed - set(shown)):
            self._fault("missed", f"{missed} has a receipt and is not between {self._position} and {page.position}")
        for each in passed:
            del self._expected[each]
        if page.more and page.position == self._position:
            self._fault("stands still", f"there is said to be more, and the cursor stays at {page.position}")
        self._position = max(self._position, page.position)
        if not page.more:
            self._late(page.asked - LATE_SECONDS)
        return self._told()

    def unchanged(self, asked: float) -> Sequence[str]:
        """Take an answer that there is nothing new, asked for at a moment; the kinds of its violations."""
        self._take_in()
        self._late(asked - LATE_SECONDS)
        return self._told()

    def end(self, now: float) -> None:
        """Compare what was receipted since the last page, and what should have been shown by now (s)."""
        self._take_in()
        self._late(now - LEFT_SECONDS)
        self._ledger.unwatch(self._feed, self._receipts)

    def _told(self) -> Sequence[str]:
        """What was found since the last time."""
        told, self._faults = self._faults, []
        return told

    def _take_in(self) -> None:
        """What has got its receipt since: passed already and shown early, or still to come."""
        while self._receipts:
            receipt = self._receipts.popleft()
            sequence = receipt.sequence
            if sequence in self._early:
                self._same(receipt, self._early.pop(sequence))
            elif sequence > self._position:
                self._expected[sequence] = receipt
            elif sequence > self._begun:
                self._fault("missed", f"{sequence} got its receipt, and the page that passed it had not shown it")
        for sequence, event_id in list(self._early.items()):
            if self._ledger.place(event_id) is not None:
                del self._early[sequence]
                self._placed(event_id, sequence)

    def _identified(self, sequence: int, event_id: str) -> None:
        """An event is shown at a place: it must be the one that was put there, and be put nowhere else."""
        if sequence in self._expected:
            self._same(self._expected[sequence], event_id)
        elif self._ledger.place(event_id) is not None:
            self._placed(event_id, sequence)
        elif self._ledger.is_sent(event_id):
            self._early[sequence] = event_id

    def _same(self, receipt: Receipt, event_id: str) -> None:
        if event_id != receipt.event_id:
            self._fault("another event", f"{event_id} at {receipt.sequence}, where {receipt.event_id} was put")

    def _placed(self, event_id: str, sequence: int) -> None:
        place = self._ledger.place(event_id)
        if place != sequence:
            self._fault("another place", f"{event_id} at {sequence}, its receipt says {place}")

    def _late(self, moment: float) -> None:
        """What got its receipt before a moment has been held back: told once, however long it is."""
        for receipt in sorted(each for each in self._expected.values() if each.moment < moment):
            sequence = receipt.sequence
            self._fault("held back", f"{sequence} has had a receipt for long, and the feed ends at {self._position}")
            self._expected[sequence] = receipt._replace(moment=math.inf)

    def _order(self, shown: Sequence[int], *, position: int) -> None:
        if len(shown) > self._size:
            self._fault("over the cap", f"{len(shown)} events on a page of {self._size}")
        if position < self._position:
            self._fault("moved back", f"the cursor went from {self._position} to {position}")
        if len(set(shown)) < len(shown):
            self._fault("doubled", f"{sorted({each for each in shown if shown.count(each) > 1})} on one page")
        elif shown != sorted(shown):
            self._fault("out of order", f"{shown}")
        if shown and min(shown) <= self._position:
            self._fault("doubled", f"{min(shown)} again, after {self._position}")
        if shown and max(shown) > position:
            self._fault("ahead", f"{max(shown)} is past the page's own cursor {position}")

    def _fault(self, kind: str, evidence: str) -> None:
        self._faults.append(kind)
        self._ledger.violated(Violation(self._scenario, kind, evidence))


def _kept(kept: OrderedDict[str, T], event_id: str, what: T) -> None:
    kept[event_id] = what
    if len(kept) > SENT_MAX:
        kept.popitem(last=False)
