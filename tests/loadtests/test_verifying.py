"""What a reader of a load test compares: everything of its feed, once, in order, and nothing of another's."""

from collections.abc import Mapping, Sequence

import pytest
from loadtests.verifying import CASES_MAX, SENT_MAX, Case, Follower, Ledger, Violation

FEED, SIZE = "app ttd/loadtest", 3


@pytest.fixture
def ledger() -> Ledger:
    """Nothing has a receipt yet."""
    return Ledger()


@pytest.fixture
def follower(ledger: Ledger) -> Follower:
    """A reader that begins after position 10."""
    found = Follower(ledger, "S1 app", feed=FEED, belongs=lambda event: event["subject"] == "/party/1")
    found.begin(10)
    return found


def receipted(ledger: Ledger, *sequences: int) -> None:
    """These have their place, and are of the feed."""
    for each in sequences:
        ledger.receipted(str(each), each, feeds=[FEED, "nobody's"], moment=0.0)


def page(*sequences: int, party: str = "1") -> Sequence[Mapping[str, object]]:
    """A page of these."""
    return [
        {"sequence": f"{each:020d}", "subject": f"/party/{party}", "source": "s", "type": "t"} for each in sequences
    ]


def kinds(ledger: Ledger) -> list[str]:
    """What was violated."""
    return [each.kind for each in ledger.violations]


def test_a_page_with_all_that_it_must_have_is_good(ledger: Ledger, follower: Follower) -> None:
    """However far the cursor moves, and whatever else is in the log."""
    receipted(ledger, 11, 14, 20)
    assert follower.page(page(11, 14), position=17, size=SIZE)
    assert follower.page(page(20), position=25, size=SIZE)
    assert follower.page(page(), position=25, size=SIZE)
    follower.end()

    assert [] == ledger.violations


def test_an_event_may_be_shown_before_its_receipt_comes(ledger: Ledger, follower: Follower) -> None:
    """Readers are as fast as publishers."""
    assert follower.page(page(11, 12), position=12, size=SIZE)
    receipted(ledger, 12, 11)
    assert follower.page(page(), position=13, size=SIZE)


def test_what_has_a_receipt_and_is_not_shown_is_missed(ledger: Ledger, follower: Follower) -> None:
    """Once, with its place."""
    receipted(ledger, 11, 12)
    assert not follower.page(page(11), position=12, size=SIZE)
    assert follower.page(page(), position=13, size=SIZE)

    assert ["missed"] == kinds(ledger)
    assert "12 has a receipt" in str(ledger.violations[0])


def test_a_receipt_that_comes_late_does_not_hide_a_miss(ledger: Ledger, follower: Follower) -> None:
    """The page had passed it, and had not shown it."""
    assert follower.page(page(11), position=15, size=SIZE)
    receipted(ledger, 12)
    follower.end()

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
    assert not follower.page(page(*shown), position=position, size=SIZE)
    assert [kind] == kinds(ledger)


def test_anothers_event_is_named(ledger: Ledger, follower: Follower) -> None:
    """With whose it is."""
    assert not follower.page(page(11, party="2"), position=11, size=SIZE)
    assert [Violation("S1 app", "another's", "s about /party/2, t")] == ledger.violations
    assert {"S1 app: another's": 1} == ledger.kinds()


def test_who_is_told_what_to_expect_compares_with_that(ledger: Ledger) -> None:
    """All of it, up to where the page has come."""
    found = Follower(ledger, "S5 instance", belongs=lambda _: True)
    found.expect([3, 5, 9])
    assert not found.page(page(3), position=7, size=SIZE)

    assert ["missed"] == kinds(ledger)


def test_what_was_put_before_a_reader_began_is_nothing_to_it(ledger: Ledger) -> None:
    """Nor what is published for others."""
    receipted(ledger, 5)
    found = Follower(ledger, "S1 app", feed=FEED, belongs=lambda _: True)
    receipted(ledger, 9, 11)
    found.begin(10)
    assert not found.page(page(), position=12, size=SIZE)

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
    ledger.receipted("a", 1, feeds=[], moment=2.5)
    assert 0.5 == ledger.lag("a", 3.0)


def test_memory_is_bounded(ledger: Ledger) -> None:
    """However long a run is."""
    for number in range(SENT_MAX + 10):
        ledger.sent(str(number), 0.0)
    ledger.cases.extend(Case("1", str(number), []) for number in range(CASES_MAX + 10))

    assert (None, 1.0) == (ledger.age("0", 1.0), ledger.age(str(SENT_MAX), 1.0))
    assert CASES_MAX == len(ledger.cases)
