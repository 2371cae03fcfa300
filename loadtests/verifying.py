"""What a reader must see, told by the receipts of this run: everything of its feed, once, in order, and nothing else.

The ledger knows where each event was put. A follower compares: what was receipted in the stretch that a page has passed
must be in that page; what comes before its receipt is kept until the receipt has come.
"""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

# Of so many events it is known when they were sent; of so many cases what they hold.
SENT_MAX = 200_000
CASES_MAX = 500
# A fault that stays would fill the memory with evidence.
VIOLATIONS_MAX = 1_000

Event = Mapping[str, object]


class Violation(NamedTuple):
    """Something that must never happen: in which scenario, what kind, and what was seen."""

    scenario: str
    kind: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.scenario}: {self.kind}: {self.evidence}"


class Case(NamedTuple):
    """An instance of an app and the sequences of its events that have a receipt, in the order of the receipts."""

    party: str
    guid: str
    sequences: list[int]


class Ledger:
    """Receipts of this run, by the feeds that must show them. Feeds nobody watches are not kept."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.found = 0
        self.cases: deque[Case] = deque(maxlen=CASES_MAX)
        self._of_feed: dict[str, list[int]] = {}
        self._sent: OrderedDict[str, float] = OrderedDict()
        self._receipted: OrderedDict[str, float] = OrderedDict()

    def watch(self, feed: str) -> Sequence[int]:
        """The sequences of a feed's receipts from now on, in the order in which they came."""
        return self._of_feed.setdefault(feed, [])

    def sent(self, event_id: str, moment: float) -> None:
        """An event is on its way."""
        _kept(self._sent, event_id, moment)

    def receipted(self, event_id: str, sequence: int, *, feeds: Iterable[str], moment: float) -> None:
        """An event has its place, and these feeds must show it."""
        _kept(self._receipted, event_id, moment)
        for feed in feeds:
            if feed in self._of_feed:
                self._of_feed[feed].append(sequence)

    def age(self, event_id: str, now: float) -> float | None:
        """How long ago it was sent (s); None when it is of another run, or long ago."""
        return now - self._sent[event_id] if event_id in self._sent else None

    def lag(self, event_id: str, now: float) -> float | None:
        """How long ago it got its receipt (s), nothing when it has none yet; None when it is of another run."""
        if event_id not in self._sent:
            return None
        return max(0.0, now - self._receipted.get(event_id, now))

    def violated(self, violation: Violation) -> None:
        """Keep the evidence."""
        self.found += 1
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(violation)

    def kinds(self) -> Mapping[str, int]:
        """How many violations of each scenario and kind."""
        counted: dict[str, int] = defaultdict(int)
        for each in self.violations:
            counted[f"{each.scenario}: {each.kind}"] += 1
        return counted


class Follower:
    """One reader of a feed: compares each page with the ledger. `belongs` is whether it may see an event at all.

    Without a feed it compares with what it is told to expect, and with nothing else.
    """

    def __init__(self, ledger: Ledger, scenario: str, *, belongs: Callable[[Event], bool], feed: str = "") -> None:
        self._ledger, self._scenario, self._belongs = ledger, scenario, belongs
        self._receipts, self._taken = ledger.watch(feed) if feed else (), 0
        self._expected, self._early = set[int](), set[int]()
        self._begun = self._position = 0

    def begin(self, position: int) -> None:
        """Start after a position: what was put before it is nothing to this reader."""
        self._begun = self._position = position
        self._taken = len(self._receipts)
        self._expected |= {each for each in self._receipts if each > position}

    def expect(self, sequences: Iterable[int]) -> None:
        """These must be shown."""
        self._expected.update(sequences)

    def page(self, events: Sequence[Event], *, position: int, size: int) -> bool:
        """Compare a page that has moved the cursor to `position`; whether it is as it must be."""
        before = self._ledger.found
        self._take_in()
        shown = [int(str(event["sequence"])) for event in events]
        self._order(shown, position=position, size=size)
        for event in events:
            if not self._belongs(event):
                self._fault("another's", f"{event.get('source')} about {event.get('subject')}, {event.get('type')}")
        passed = {each for each in self._expected if each <= position}
        for missed in sorted(passed - set(shown)):
            self._fault("missed", f"{missed} has a receipt and is not between {self._position} and {position}")
        self._early |= set(shown) - self._expected
        self._expected -= passed
        self._position = max(self._position, position)
        return self._ledger.found == before

    def end(self) -> None:
        """Compare what was receipted since the last page."""
        self._take_in()

    def _take_in(self) -> None:
        """What has got its receipt since: passed already and shown early, or still to come."""
        for sequence in self._receipts[self._taken :]:
            if sequence in self._early:
                self._early.remove(sequence)
            elif sequence > self._position:
                self._expected.add(sequence)
            elif sequence > self._begun:
                self._fault("missed", f"{sequence} got its receipt, and the page that passed it had not shown it")
        self._taken = len(self._receipts)

    def _order(self, shown: Sequence[int], *, position: int, size: int) -> None:
        if len(shown) > size:
            self._fault("over the cap", f"{len(shown)} events on a page of {size}")
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
        self._ledger.violated(Violation(self._scenario, kind, evidence))


def _kept(moments: OrderedDict[str, float], event_id: str, moment: float) -> None:
    moments[event_id] = moment
    if len(moments) > SENT_MAX:
        moments.popitem(last=False)
