"""The sizes of commits, which decide how many a request reads: a page should fetch hardly more than it serves."""

import itertools
import math
from collections.abc import Sequence

from cachetools import LRUCache

from eventfeed.log.cosmos.documents import Commit, Place

# Entries that one request reads, if their commits are as large as expected: some 25 MB as objects, and 50 ms of work.
READ_ENTRIES_MAX = 5_000
# Commits of one request. A response has at most 4 MB, whatever their number.
READ_COMMITS_MAX = 1_000
# Commits of a request where none was read before; as many decide on the mean.
MEAN_COMMITS = 10
# Positions that share a mean: an import has large commits, and the events after it small ones.
MEAN_POSITIONS = 1_000
MEANS_MAX = 4_096


class CommitSizes:
    """The mean number of entries of a commit in each range of positions, as last read."""

    def __init__(self) -> None:
        self._means = LRUCache[int, float](MEANS_MAX)

    def observe(self, commits: Sequence[Commit]) -> None:
        """Note the sizes of commits that follow one another."""
        if not commits:
            return
        first, last = commits[0].first, commits[-1].last
        mean, weight = (last - first + 1) / len(commits), min(len(commits) / MEAN_COMMITS, 1.0)
        for key in range(first // MEAN_POSITIONS, last // MEAN_POSITIONS + 1):
            old_mean = self._means.get(key, mean)
            self._means[key] = old_mean + weight * (mean - old_mean)

    def count(self, entries: int, *, after: int) -> int:
        """Return the number of commits that have some entries right after a position."""
        mean = self._means.get(after // MEAN_POSITIONS)
        return min(entries, MEAN_COMMITS) if mean is None else min(math.ceil(entries / mean), READ_COMMITS_MAX)


def first_places(places: Sequence[Place]) -> Sequence[Place]:
    """Return the first places, as many as one request reads the commits of: at least one."""
    totals = itertools.accumulate(place.last - place.first + 1 for place in places)
    return places[: max(1, sum(total <= READ_ENTRIES_MAX for total in totals))]
