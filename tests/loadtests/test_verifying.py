"""What a reader of a load test compares: everything of its feed, once, in order, and nothing of another's."""

from collections.abc import Mapping, Sequence

import pytest
from loadtests.verifying import (
    CASES_MAX,
    EVIDENCE_MAX,
    LATE_SECONDS,
    LEFT_SECONDS,
    SENT_MAX,
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
    """Nothing has a receipt yet."""
    return Ledger()


@pytest.fixture
def follower(ledger: Ledger) -> Follower:
    """A reader that begins after position 10."""
    found = Follower(ledger, "S1 app", feed=FEED, size=SIZE, belongs=lambda event: event["subject"] == "/party/1")
    found.begin(10)
    return found


def receipted(ledger: Ledger, *sequences: int, moment: float = 0.0) -> None:
    """These have their place, and are of the feed."""
    for each in sequences:
        ledger.receipted(receipt(each, moment), feeds=[FEED, "nobody's"])


def receipt(sequence: int, moment: float = 0.0) -> Receipt:
    """Of an event whose id is its place."""
    return Receipt(sequence, moment, str(sequence))


def page(
    *sequences: int, position: int, party: str = "1", asked: float = 0.0, more: bool = False, ids: Sequence[str] = ()
) -> Page:
    """A page of these; their ids are their places, or what is given."""
    events: Sequence[Mapping[str, object]] = [
        {"id": event_id, "sequence": f"{each:020d}", "subject": f"/party/{party}", "source": "s", "type": "t"}
        for each, event_id in zip(sequences, ids or map(str, sequences), strict=True)
    ]
    return Page(events, asked=asked, position=position, more=more)


def kinds(ledger: Ledger) -> list[str]:
    """What was violated."""
    return [each.kind for each in ledger.evidence]


def test_a_page_with_all_that_it_must_have_is_good(ledger: Ledger, follower: Follower) -> None:
    """However far the cursor moves, and whatever else is in the log."""
    receipted(ledger, 11, 14, 20)
    assert not follower.page(page(11, 14, position=17))
    assert not follower.page(page(20, position=25))
    assert not follower.page(page(position=25))
    follower.end(0.0)

    assert [] == ledger.evidence


def test_an_event_may_be_shown_before_its_receipt_comes(ledger: Ledger, follower: Follower) -> None:
    """Readers are as fast as publishers."""
    ledger.sent("11", 0.0)
    ledger.sent("12", 0.0)
    assert not follower.page(page(11, 12, position=12))
    receipted(ledger, 12, 11)
    assert not follower.page(page(position=13))


@pytest.mark.parametrize("known", ["before", "after"])
@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (("12", "11"), ["another event", "another event"]),
        (("11", "11"), ["another event"]),
        (("11", "of nobody"), ["another event"]),
    ],
    ids=["swapped", "copied over another", "invented"],
)
def test_another_event_at_a_place_is_named(
    ledger: Ledger, follower: Follower, ids: Sequence[str], found: Sequence[str], known: str
) -> None:
    """Whether its receipt comes before the page or after."""
    for each in ("11", "12"):
        ledger.sent(each, 0.0)
    if known == "before":
        receipted(ledger, 11, 12)
        assert found == follower.page(page(11, 12, position=12, ids=ids))
    else:
        assert not follower.page(page(11, 12, position=12, ids=ids))
        receipted(ledger, 11, 12)
        assert follower.page(page(position=13))
    assert len(found) == ledger.counts.total()


@pytest.mark.parametrize("known", ["before", "after"])
def test_an_event_that_is_in_the_log_twice_is_named(ledger: Ledger, follower: Follower, known: str) -> None:
    """It has one receipt, and so one place."""
    ledger.sent("11", 0.0)
    if known == "before":
        receipted(ledger, 11)
    follower.page(page(11, 14, position=14, ids=("11", "11")))
    if known == "after":
        receipted(ledger, 11)
    follower.page(page(position=15))

    assert [Violation("S1 app", "another place", "11 at 14, its receipt says 11")] == ledger.evidence


def test_events_of_others_are_not_kept(ledger: Ledger, follower: Follower) -> None:
    """Other machines publish to the same log, and nobody here gets their receipts."""
    assert not follower.page(page(11, 12, position=12, ids=("a", "b")))
    assert not follower.page(page(13, position=13, ids=("a",)))
    assert not ledger.evidence


def test_what_has_a_receipt_and_is_not_shown_is_missed(ledger: Ledger, follower: Follower) -> None:
    """Once, with its place."""
    receipted(ledger, 11, 12)
    assert ["missed"] == follower.page(page(11, position=12))
    assert not follower.page(page(position=13))

    assert ["missed"] == kinds(ledger)
    assert "12 has a receipt" in str(ledger.evidence[0])


def test_a_receipt_that_comes_late_does_not_hide_a_miss(ledger: Ledger, follower: Follower) -> None:
    """The page had passed it, and had not shown it."""
    assert not follower.page(page(11, position=15))
    receipted(ledger, 12)
    follower.end(0.0)

    assert ["missed"] == kinds(ledger)


@pytest.mark.parametrize(
    ("shown", "position", "kind"),
    [
        ((11, 11), 12, "doubled"),
        ((12, 11), 12, "out of order"),
        ((10, 11), 12, "doubled"),
        ((11, 12, 13, 14), 14, "over the cap"),
        ((11, 19), 12, "ahead"),
        ((), 9, "moved back"),
    ],
)
def test_a_page_that_breaks_its_word_is_named(
    ledger: Ledger, follower: Follower, shown: Sequence[int], position: int, kind: str
) -> None:
    """By what it did."""
    assert [kind] == follower.page(page(*shown, position=position))
    assert [kind] == kinds(ledger)


def test_anothers_event_is_named(ledger: Ledger, follower: Follower) -> None:
    """With whose it is."""
    assert ["another's"] == follower.page(page(11, party="2", position=11))
    assert [Violation("S1 app", "another's", "s about /party/2, t")] == ledger.evidence
    assert {("S1 app", "another's"): 1} == ledger.counts


def test_who_is_told_what_to_expect_compares_with_that(ledger: Ledger) -> None:
    """All of it, up to where the page has come."""
    found = Follower(ledger, "S5 instance", size=SIZE, belongs=lambda _: True)
    found.expect(map(receipt, (3, 5, 9)))
    assert ["missed"] == found.page(page(3, position=7))

    assert ["missed"] == kinds(ledger)


@pytest.mark.parametrize("said", ["an empty page", "unchanged"])
def test_a_feed_that_stands_still_is_named(ledger: Ledger, follower: Follower, said: str) -> None:
    """By what had its receipt a while before it was asked for; once each."""

    def asked(moment: float) -> Sequence[str]:
        if said == "unchanged":
            return follower.unchanged(moment)
        return follower.page(page(position=10, asked=moment))

    receipted(ledger, 11, moment=5.0)
    assert not asked(5.0 + LATE_SECONDS)
    assert ["held back"] == asked(5.1 + LATE_SECONDS)
    receipted(ledger, 12, moment=6.0)
    assert ["held back"] == asked(6.1 + LATE_SECONDS)
    assert not asked(99.0)

    assert "12 has had a receipt" in str(ledger.evidence[-1])


def test_a_cursor_that_stays_where_there_is_more_is_named(ledger: Ledger, follower: Follower) -> None:
    """Or who follows it would ask for ever. What comes later is not held back while there is more."""
    receipted(ledger, 12)
    assert not follower.page(page(position=11, more=True, asked=99.0))
    assert ["stands still"] == follower.page(page(position=11, more=True))


def test_what_a_reader_was_never_given_is_held_back(ledger: Ledger, follower: Follower) -> None:
    """However it stopped: a poll may have waited for it in vain."""
    receipted(ledger, 11, moment=5.0)
    receipted(ledger, 12, moment=6.0)
    follower.end(5.5 + LEFT_SECONDS)
    receipted(ledger, 13, moment=5.0)
    follower.end(99.0)

    assert ["held back", "held back"] == kinds(ledger)
    assert "11 has" in str(ledger.evidence[0])


def test_what_is_found_elsewhere_is_counted_here(ledger: Ledger) -> None:
    """All of it, with as much evidence as is kept; and nothing of a run before."""
    there = Ledger()
    for number in range(EVIDENCE_MAX + 5):
        there.violated(Violation("publish", "another place", str(number)))
    ledger.take_over(*there.hand_over())
    ledger.take_over(*there.hand_over())
    there.violated(Violation("S1 app", "missed", "7"))
    ledger.take_over(*there.hand_over())

    assert {("publish", "another place"): EVIDENCE_MAX + 5, ("S1 app", "missed"): 1} == ledger.counts
    assert EVIDENCE_MAX == len(ledger.evidence)
    ledger.clear()
    assert (0, []) == (ledger.counts.total(), ledger.evidence)


def test_what_was_put_before_a_reader_began_is_nothing_to_it(ledger: Ledger) -> None:
    """Nor what is published for others."""
    receipted(ledger, 5)
    found = Follower(ledger, "S1 app", feed=FEED, size=SIZE, belongs=lambda _: True)
    receipted(ledger, 9, 11)
    found.begin(10)
    assert ["missed"] == found.page(page(position=12))

    assert ["missed"] == kinds(ledger)


def test_lag_and_age_are_of_this_run(ledger: Ledger) -> None:
    """From the receipt, and from when it was sent; nothing before the receipt, and nothing of others."""
    ledger.sent("a", 1.0)
    assert (2.0, 0.0, None, None) == (
        ledger.age("a", 3.0),
        ledger.lag("a", 3.0),
        ledger.age("b", 3.0),
        ledger.lag("b", 3.0),
    )
    ledger.receipted(Receipt(1, 2.5, "a"), feeds=[])
    assert 0.5 == ledger.lag("a", 3.0)


def test_memory_is_bounded(ledger: Ledger) -> None:
    """However long a run is."""
    for number in range(SENT_MAX + 10):
        ledger.sent(str(number), 0.0)
    ledger.cases.extend(Case("1", str(number), []) for number in range(CASES_MAX + 10))

    assert (None, 1.0) == (ledger.age("0", 1.0), ledger.age(str(SENT_MAX), 1.0))
    assert CASES_MAX == len(ledger.cases)
