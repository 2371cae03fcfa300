"""The comparison of a reader's pages with the receipts: every event once, in order, and no event of another feed."""

from collections.abc import Mapping, Sequence

import pytest
from loadtests.verification import (
    CASES_MAX,
    EVENTS_MAX,
    EVIDENCE_MAX,
    LATE_SECONDS,
    STOP_SECONDS,
    Case,
    Follower,
    Ledger,
    Page,
    Receipt,
    Violation,
)

FEED, SIZE = "app ttd/loadtest", 3


@pytest.fixture
def ledger() -> Ledger:
    """A ledger without receipts."""
    return Ledger()


@pytest.fixture
def follower(ledger: Ledger) -> Follower:
    """A reader that starts after position 10."""
    reader = Follower(ledger, "S1 app", feed=FEED, size=SIZE, belongs=lambda event: event["subject"] == "/party/1")
    reader.begin(10)
    return reader


def record_receipts(ledger: Ledger, *sequences: int, time: float = 0.0) -> None:
    """Record receipts of the feed at these positions."""
    for each in sequences:
        ledger.record_receipt(receipt(each, time), feeds=[FEED, "another feed"])


def receipt(sequence: int, time: float = 0.0) -> Receipt:
    """A receipt of an event whose id is its position."""
    return Receipt(sequence, time, str(sequence))


def page(
    *sequences: int,
    position: int,
    party: str = "1",
    request_time: float = 0.0,
    more: bool = False,
    ids: Sequence[str] = (),
) -> Page:
    """A page with events at these positions. Their ids are `ids`, or their positions."""
    events: Sequence[Mapping[str, object]] = [
        {"id": event_id, "sequence": f"{each:020d}", "subject": f"/party/{party}", "source": "s", "type": "t"}
        for each, event_id in zip(sequences, ids or map(str, sequences), strict=True)
    ]
    return Page(events, request_time=request_time, position=position, more=more)


def kinds(ledger: Ledger) -> list[str]:
    """The kinds of all violations."""
    return [each.kind for each in ledger.evidence]


def test_complete_page_has_no_violation(ledger: Ledger, follower: Follower) -> None:
    """The cursor may move further than the last event."""
    record_receipts(ledger, 11, 14, 20)
    assert not follower.check_page(page(11, 14, position=17))
    assert not follower.check_page(page(20, position=25))
    assert not follower.check_page(page(position=25))
    follower.end(0.0)

    assert [] == ledger.evidence


def test_event_may_arrive_before_its_receipt(ledger: Ledger, follower: Follower) -> None:
    """A reader can be as fast as a publisher."""
    ledger.record_publish("11", 0.0)
    ledger.record_publish("12", 0.0)
    assert not follower.check_page(page(11, 12, position=12))
    record_receipts(ledger, 12, 11)
    assert not follower.check_page(page(position=13))


@pytest.mark.parametrize("receipt_time", ["before", "after"])
@pytest.mark.parametrize(
    ("ids", "violations"),
    [
        (("12", "11"), ["another event", "another event"]),
        (("11", "11"), ["another event"]),
        (("11", "unknown"), ["another event"]),
    ],
    ids=["swapped", "copied over another", "invented"],
)
def test_another_event_at_the_position_of_a_receipt_is_reported(
    ledger: Ledger, follower: Follower, ids: Sequence[str], violations: Sequence[str], receipt_time: str
) -> None:
    """The receipt may come before or after the page."""
    for each in ("11", "12"):
        ledger.record_publish(each, 0.0)
    if receipt_time == "before":
        record_receipts(ledger, 11, 12)
        assert violations == follower.check_page(page(11, 12, position=12, ids=ids))
    else:
        assert not follower.check_page(page(11, 12, position=12, ids=ids))
        record_receipts(ledger, 11, 12)
        assert follower.check_page(page(position=13))
    assert len(violations) == ledger.counts.total()


@pytest.mark.parametrize("receipt_time", ["before", "after"])
def test_event_at_two_positions_is_reported(ledger: Ledger, follower: Follower, receipt_time: str) -> None:
    """An event has one receipt, and therefore one position."""
    ledger.record_publish("11", 0.0)
    if receipt_time == "before":
        record_receipts(ledger, 11)
    follower.check_page(page(11, 14, position=14, ids=("11", "11")))
    if receipt_time == "after":
        record_receipts(ledger, 11)
    follower.check_page(page(position=15))

    assert [Violation("S1 app", "other position", "11 at 14, its receipt says 11")] == ledger.evidence


def test_events_of_other_runs_are_not_kept(ledger: Ledger, follower: Follower) -> None:
    """Other machines publish to the same log, and their receipts are unknown here."""
    assert not follower.check_page(page(11, 12, position=12, ids=("a", "b")))
    assert not follower.check_page(page(13, position=13, ids=("a",)))
    assert not ledger.evidence


def test_receipt_without_event_is_reported_as_missed(ledger: Ledger, follower: Follower) -> None:
    """The violation is reported once, with the position."""
    record_receipts(ledger, 11, 12)
    assert ["missed"] == follower.check_page(page(11, position=12))
    assert not follower.check_page(page(position=13))

    assert ["missed"] == kinds(ledger)
    assert "12 has a receipt" in str(ledger.evidence[0])


def test_late_receipt_of_a_missing_event_is_reported(ledger: Ledger, follower: Follower) -> None:
    """The page had passed the position without the event."""
    assert not follower.check_page(page(11, position=15))
    record_receipts(ledger, 12)
    follower.end(0.0)

    assert ["missed"] == kinds(ledger)


@pytest.mark.parametrize(
    ("sequences", "position", "kind"),
    [
        ((11, 11), 12, "duplicate"),
        ((12, 11), 12, "out of order"),
        ((10, 11), 12, "duplicate"),
        ((11, 12, 13, 14), 14, "over the cap"),
        ((11, 19), 12, "ahead"),
        ((), 9, "cursor moved back"),
    ],
)
def test_page_that_breaks_the_contract_is_reported_by_kind(
    ledger: Ledger, follower: Follower, sequences: Sequence[int], position: int, kind: str
) -> None:
    """Each kind is reported once."""
    assert [kind] == follower.check_page(page(*sequences, position=position))
    assert [kind] == kinds(ledger)


def test_event_of_another_party_is_reported(ledger: Ledger, follower: Follower) -> None:
    """The evidence has the source and the subject."""
    assert ["other feed"] == follower.check_page(page(11, party="2", position=11))
    assert [Violation("S1 app", "other feed", "s about /party/2, t")] == ledger.evidence
    assert {("S1 app", "other feed"): 1} == ledger.counts


def test_follower_without_feed_checks_the_expected_receipts(ledger: Ledger) -> None:
    """Only receipts up to the page's cursor count."""
    reader = Follower(ledger, "S5 instance", size=SIZE, belongs=lambda _: True)
    reader.expect(map(receipt, (3, 5, 9)))
    assert ["missed"] == reader.check_page(page(3, position=7))

    assert ["missed"] == kinds(ledger)


@pytest.mark.parametrize("response", ["an empty page", "unchanged"])
def test_feed_without_progress_is_reported(ledger: Ledger, follower: Follower, response: str) -> None:
    """Each receipt that is older than the limit is reported once."""

    def check(time: float) -> Sequence[str]:
        if response == "unchanged":
            return follower.check_unchanged(time)
        return follower.check_page(page(position=10, request_time=time))

    record_receipts(ledger, 11, time=5.0)
    assert not check(5.0 + LATE_SECONDS)
    assert ["late"] == check(5.1 + LATE_SECONDS)
    record_receipts(ledger, 12, time=6.0)
    assert ["late"] == check(6.1 + LATE_SECONDS)
    assert not check(99.0)

    assert "12 has an old receipt" in str(ledger.evidence[-1])


def test_cursor_that_does_not_advance_despite_feed_more_is_reported(ledger: Ledger, follower: Follower) -> None:
    """A reader would loop. While there is more, receipts are not late."""
    record_receipts(ledger, 12)
    assert not follower.check_page(page(position=11, more=True, request_time=99.0))
    assert ["cursor not moved"] == follower.check_page(page(position=11, more=True))


def test_event_missing_at_the_end_of_a_reader_is_reported(ledger: Ledger, follower: Follower) -> None:
    """A long poll may have waited for the event until its time limit."""
    record_receipts(ledger, 11, time=5.0)
    record_receipts(ledger, 12, time=6.0)
    follower.end(5.5 + STOP_SECONDS)
    record_receipts(ledger, 13, time=5.0)
    follower.end(99.0)

    assert ["late", "late"] == kinds(ledger)
    assert "11 has" in str(ledger.evidence[0])


def test_violations_of_other_ledgers_are_added(ledger: Ledger) -> None:
    """The evidence is bounded, and a new run starts with none."""
    other = Ledger()
    for number in range(EVIDENCE_MAX + 5):
        other.record_violation(Violation("publish", "other position", str(number)))
    ledger.take_over(*other.hand_over())
    ledger.take_over(*other.hand_over())
    other.record_violation(Violation("S1 app", "missed", "7"))
    ledger.take_over(*other.hand_over())

    assert {("publish", "other position"): EVIDENCE_MAX + 5, ("S1 app", "missed"): 1} == ledger.counts
    assert EVIDENCE_MAX == len(ledger.evidence)
    ledger.clear()
    assert (0, []) == (ledger.counts.total(), ledger.evidence)


def test_receipts_before_the_start_of_a_reader_do_not_count(ledger: Ledger) -> None:
    """Receipts of other feeds do not count either."""
    record_receipts(ledger, 5)
    reader = Follower(ledger, "S1 app", feed=FEED, size=SIZE, belongs=lambda _: True)
    record_receipts(ledger, 9, 11)
    reader.begin(10)
    assert ["missed"] == reader.check_page(page(position=12))

    assert ["missed"] == kinds(ledger)


def test_lag_and_age_are_known_for_events_of_this_run_only(ledger: Ledger) -> None:
    """Lag starts at the receipt, age at the publish request."""
    ledger.record_publish("a", 1.0)
    assert (2.0, 0.0, None, None) == (
        ledger.age("a", 3.0),
        ledger.lag("a", 3.0),
        ledger.age("b", 3.0),
        ledger.lag("b", 3.0),
    )
    ledger.record_receipt(Receipt(1, 2.5, "a"), feeds=[])
    assert 0.5 == ledger.lag("a", 3.0)


def test_ledger_keeps_a_bounded_number_of_events(ledger: Ledger) -> None:
    """The oldest events and cases are evicted."""
    for number in range(EVENTS_MAX + 10):
        ledger.record_publish(str(number), 0.0)
    ledger.cases.extend(Case("1", str(number), []) for number in range(CASES_MAX + 10))

    assert (None, 1.0) == (ledger.age("0", 1.0), ledger.age(str(EVENTS_MAX), 1.0))
    assert CASES_MAX == len(ledger.cases)
