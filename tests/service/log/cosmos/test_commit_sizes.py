"""The number of commits that a request reads, by the sizes of those that were read around its place."""

from collections.abc import Sequence

import pytest

from eventfeed.log.cosmos.commit_sizes import READ_ENTRIES_MAX, CommitSizes, first_places
from eventfeed.log.cosmos.documents import Commit, Place


def commits(first: int, *, size: int, count: int) -> Sequence[Commit]:
    """Commits of one size that follow one another."""
    return [Commit(begin, begin + size - 1, (), 0) for begin in range(first, first + size * count, size)]


def places(*sizes: int) -> Sequence[Place]:
    """The places of commits of these sizes."""
    return [Place(id="", segment=0, first=1, last=size, time=0) for size in sizes]


@pytest.mark.parametrize(
    ("after", "expectation"),
    [(0, 1), (4_000, 1), (5_100, 50), (20_000, 10)],
    ids=["large commits", "their last ones", "small commits", "nothing was read"],
)
def test_number_of_commits_is_by_their_size_at_the_place(after: int, expectation: int) -> None:
    """A page of 50 events."""
    sizes = CommitSizes()
    sizes.observe(commits(1, size=500, count=10))
    sizes.observe(commits(5_001, size=1, count=200))
    sizes.observe(())

    assert expectation == sizes.count(50, after=after)


def test_single_small_commit_hardly_changes_the_mean() -> None:
    """The proof of a cursor reads one commit."""
    sizes = CommitSizes()
    sizes.observe(commits(1, size=20, count=10))
    sizes.observe(commits(201, size=1, count=1))

    assert 6 == sizes.count(100, after=201)


@pytest.mark.parametrize("sizes", [(), (READ_ENTRIES_MAX, 1), (500,) * 11], ids=["none", "large", "many"])
def test_request_reads_a_bounded_number_of_entries(sizes: Sequence[int]) -> None:
    """At least one commit, and no more than have the maximum number of entries."""
    part = first_places(places(*sizes))

    assert len(part) == {0: 0, 2: 1, 11: 10}[len(sizes)]
