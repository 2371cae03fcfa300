"""Scans of a feed over the commits of a log.

A dense scan reads the commits in order, and checks that they follow one another. A sparse scan first asks for the
places of the commits that have a term of the feed, and then reads those. A feed whose events few others separate is
cheaper to read densely; which feeds are sparse is remembered.
"""

import math
from collections.abc import Hashable

from cachetools import LRUCache

from eventfeed.domain.feed import FEEDS_MAX, PAGE_BYTES_MAX, Feed
from eventfeed.domain.page_entries import EntryList
from eventfeed.log.cosmos.documents import Commit
from eventfeed.log.cosmos.queries import TermFilter, term_filter
from eventfeed.log.cosmos.segments import PlaceQuery, Segments

# Commits and bytes of rows that one scan examines, some 0.2 s of work: a reader goes on where it ends.
SCAN_COMMITS_MAX = 1_000
SCAN_BYTES_MAX = 4 * PAGE_BYTES_MAX
# A feed is sparse if less than this share of the commits has a match.
SPARSE_SHARE = 0.25
# The fewest places that a sparse scan asks for: some of the commits may have the terms in different events.
PLACES_MIN = 20


class Matches:
    """The matches of a scan so far: `position` is the last one examined, `is_full` true when a page is full.

    `exceeds_bytes` is true if the next match did not fit into its bytes.
    """

    def __init__(self, feed: Feed, *, after: int, through: int, limit: int, bytes_max: int) -> None:
        self._feed, self._after, self._through, self._limit = feed, after, through, limit
        self.entries = EntryList()
        self.position = after
        self.is_full = self.exceeds_bytes = False
        self._bytes_left = bytes_max - len(b"[]")
        self.commits = self.commits_with_match = self._bytes = 0

    @property
    def missing(self) -> int:
        """The number of entries that still fit."""
        return self._limit - len(self.entries)

    @property
    def is_done(self) -> bool:
        """True if the scan ends: at its last position, with a full page, or with its budget spent."""
        is_spent = self.commits >= SCAN_COMMITS_MAX or self._bytes >= SCAN_BYTES_MAX
        return self.is_full or self.position >= self._through or is_spent

    def add(self, commit: Commit) -> None:
        """Add the matches of the next commit, as many as fit."""
        before = len(self.entries)
        self._add_entries(commit)
        if not self.is_full:
            self.position = max(self.position, min(commit.last, self._through))
        self.commits += 1
        self.commits_with_match += len(self.entries) > before
        self._bytes += commit.size

    def _add_entries(self, commit: Commit) -> None:
        for entry in commit.entries:
            if not self._after < entry.sequence <= self._through or not self._feed.matches(entry.event):
                continue
            self._bytes_left -= entry.json_length + len(b",")
            if self.entries and self._bytes_left < 0:
                self.position, self.is_full, self.exceeds_bytes = self.entries[-1].sequence, True, True
                return
            self.entries.append(entry)
            if len(self.entries) == self._limit:
                self.position, self.is_full = entry.sequence, True
                return

    def pass_through(self, position: int) -> None:
        """Pass commits without a match."""
        self.position = max(self.position, min(position, self._through))


class Scanner:
    """Scans the segments of a log."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        # Feeds, by their terms, of which few commits have events.
        self._sparse = LRUCache[Hashable, bool](FEEDS_MAX)

    async def scan(self, feed: Feed, *, after: int, through: int, limit: int, bytes_max: int) -> Matches:
        """Return the first matches of a feed in a range, and the last position examined."""
        matches = Matches(feed, after=after, through=through, limit=limit, bytes_max=bytes_max)
        terms = term_filter(feed)
        if not (terms.is_selective or terms in self._sparse):
            await self._scan_densely(matches, terms, through=through)
        if not matches.is_done:
            await self._scan_sparsely(matches, terms, through=through)
        return matches

    async def _scan_densely(self, matches: Matches, terms: TermFilter, *, through: int) -> None:
        """Read commits in order until the scan is done, or the feed turns out to be sparse."""
        begin, entries = matches.position, matches.missing
        while not matches.is_done:
            part = await self._segments.read("scan", after=matches.position, through=through, entries=entries)
            for commit in part.commits:
                matches.add(commit)
                if matches.is_done:
                    return
            if not part.commits:  # the store has deleted them by age
                matches.pass_through(through)
            if terms.clause and matches.commits_with_match < SPARSE_SHARE * matches.commits:
                self._sparse[terms] = True
                return
            # As many as have the missing matches, if the others are like these.
            share = (len(matches.entries) + 1) / max(matches.position - begin, 1)
            entries = math.ceil(matches.missing / share)

    async def _scan_sparsely(self, matches: Matches, terms: TermFilter, *, through: int) -> None:
        while not matches.is_done:
            limit = min(max(matches.missing, PLACES_MIN), SCAN_COMMITS_MAX)
            begin = matches.position
            query = PlaceQuery(terms.clause, dict(terms.values), after=begin, through=through, limit=limit)
            places, has_more = await self._segments.places("scan", query)
            last = places[-1].last if has_more else through
            if sum(place.last - place.first + 1 for place in places) > 2 * SPARSE_SHARE * (last - begin):
                self._sparse.pop(terms, None)
            queue = places[: max(1, SCAN_COMMITS_MAX - matches.commits)]
            while queue and not matches.is_done:
                part = await self._segments.load("scan", queue[: matches.missing])
                for commit in part:
                    matches.add(commit)
                    if matches.is_done:
                        return
                queue = queue[len(part) :]
            if not has_more and matches.position >= (places[-1].last if places else 0):
                matches.pass_through(through)
