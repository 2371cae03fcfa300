"""The commits of a log in Cosmos DB, queried segment by segment.

The log is dense, so each commit begins where the one before it ends. Whoever reads commits in order checks this, and
a place that contradicts it is damage.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from cachetools import LRUCache

from eventfeed.domain.errors import LogDamaged
from eventfeed.domain.feed import PAGE_BYTES_MAX
from eventfeed.log.cosmos.commit_sizes import READ_ENTRIES_MAX, CommitSizes, first_places
from eventfeed.log.cosmos.damage import DamagedAt
from eventfeed.log.cosmos.database import Calls, Document
from eventfeed.log.cosmos.documents import (
    COMMIT_COLUMNS,
    COMMIT_ENTRIES_MAX,
    PLACE_COLUMNS,
    Commit,
    Place,
    commit_of,
    document_id,
    place_of,
)
from eventfeed.log.cosmos.manifest import ManifestStore
from eventfeed.log.cosmos.queries import value_list
from eventfeed.log.cosmos.retry import StaleReplica, read_until_current

# Decoded commits that are kept for the next scan, in bytes of their rows; the objects take about three times as much.
CACHE_BYTES_MAX = 16 * 1024 * 1024
# Entries that a check of a damaged place reads: two commits at least.
CHECK_ENTRIES = COMMIT_ENTRIES_MAX + 1

Values = Mapping[str, object]


class End(NamedTuple):
    """The last entry of the log or of a segment, and its registration time; 0 if there is none."""

    position: int = 0
    time: int = 0


class Part(NamedTuple):
    """Consecutive commits of one segment, and True if another one may follow."""

    commits: Sequence[Commit]
    has_more: bool


class PlaceQuery(NamedTuple):
    """A query for the places of commits: those that meet a clause, in a range of the log, at most `limit`."""

    clause: str
    values: Values
    after: int
    through: int
    limit: int


class PlacesPart(NamedTuple):
    """The first places of a query, and True if others may follow."""

    places: Sequence[Place]
    has_more: bool


class Segments:
    """The segments of one log. `newest` is the last entry of the last commit that this process has read or written."""

    def __init__(self, commits: Calls, manifest: ManifestStore, *, may_have_expired: Callable[[], bool]) -> None:
        """Take the calls to the store. `may_have_expired` is true if the store can have deleted entries by age."""
        self._commits, self._manifest, self._may_have_expired = commits, manifest, may_have_expired
        self.newest = End()
        # The ends of full segments never change.
        self._full_ends: dict[int, End] = {}
        # The last segment that the store has deleted because of its age.
        self._last_deleted = -1
        self._cache = LRUCache[tuple[str, int], Commit](CACHE_BYTES_MAX, getsizeof=lambda commit: commit.size)
        self._sizes = CommitSizes()

    def of(self, sequence: int) -> int:
        """Return the segment of an entry."""
        return sequence // self._manifest.latest.segment_entries

    def last_position(self, segment: int) -> int:
        """Return the last position of a segment."""
        return (segment + 1) * self._manifest.latest.segment_entries - 1

    def observe(self, end: End) -> None:
        """Note the last entry of a commit that exists: an append may follow it, but no entry inside a commit."""
        self.newest = max(self.newest, end)

    async def read_end(self, *, least: int, may_be_empty: bool = False) -> End:
        """Return the last entry, at `least` or after it. Raises `LogDamaged` if there is none.

        If the log may be empty, `least` may be its start, which then counts as the end.
        """
        segment = self.of(least + may_be_empty)

        async def read() -> End | None:
            end = await self._segment_end(segment)
            return max(end, End(least)) if may_be_empty or end.position >= least else None

        try:
            end = await read_until_current(read)
        except StaleReplica:
            raise LogDamaged(f"The log has reached {least}, but it has no entry there or after it.") from None
        while end.position == self.last_position(segment):
            segment += 1
            end = max(end, await self._segment_end(segment))
        return end

    async def last_remaining(self) -> int:
        """Return the position of the last entry in the store, whatever the manifest says; 0 if there is none."""
        return await self._one_position("WHERE c.last >= @low ORDER BY c.last DESC", low=0, member="last")

    async def first_remaining(self) -> int:
        """Return the position of the first entry in the store after the log start; 0 if there is none.

        A commit before it does not count: one that was put back after a loss expires later than those after it.
        """
        low = self._manifest.latest.log_start + 1
        return await self._one_position("WHERE c.last >= @low ORDER BY c.last", low=low, member="first")

    async def read(self, verb: str, *, after: int, through: int | None = None, entries: int) -> Part:
        """Return commits of one segment with the entries right after `after`: some `entries`, at least one commit.

        `through` is a position that the log has; the last commit may end after it. Raises `DamagedAt` if the commits do
        not follow one another. If the store has deleted the first ones by age, the first that remains follows `after`.
        """
        segment, entries = self.of(after + 1), min(entries, READ_ENTRIES_MAX)
        bound = self.last_position(segment) if through is None else self._bound(through, segment)
        values = {"segment": segment, "after": after, "through": bound}
        # An append during the request is not in its response.
        end = self.newest.position if through is None else through
        page = await self._commits.page(
            verb,
            f"SELECT {COMMIT_COLUMNS} FROM c "  # noqa: S608  # constants
            "WHERE c.segment = @segment AND c.last > @after AND c.last <= @through ORDER BY c.last",
            partition=segment,
            values=values,
            size=self._sizes.count(entries, after=after),
        )
        commits = self._first_commits(page.documents, after=after, entries=entries)
        if (commits[0].first if commits else end + 1) > after + 1:
            start = await self._start_after_gap(after)
            if not commits or start + 1 != commits[0].first:
                return await self.read(verb, after=start, through=through, entries=entries)
        _require_order(commits)
        self._sizes.observe(commits)
        ends_segment = bool(commits) and commits[-1].last == self.last_position(segment)
        return Part(commits, page.has_more or ends_segment or len(commits) < len(page.documents))

    async def places(self, verb: str, query: PlaceQuery) -> PlacesPart:
        """Return the first places of commits with entries in a range, in order.

        After the split of a partition, the SDK (4.17.1) returns results of the others twice: they count for the limit.
        """
        low, high = self.of(query.after + 1), self.of(query.through)
        scope = "c.segment = @low" if low == high else "c.segment >= @low AND c.segment <= @high"
        documents = await self._commits.query(
            verb,
            f"SELECT TOP {query.limit} {PLACE_COLUMNS} FROM c "  # noqa: S608  # a number and constants
            f"WHERE {scope} AND c.last > @after AND c.last <= @through AND {query.clause} ORDER BY c.last",
            partition=low if low == high else None,
            values={
                "low": low,
                **({} if low == high else {"high": high}),
                "after": query.after,
                "through": self._bound(query.through, high),
                **query.values,
            },
        )
        return PlacesPart(self._in_order(documents), has_more=len(documents) >= query.limit)

    async def places_since(self, time: int, clause: str, *, values: Values) -> Sequence[Place]:
        """Return the places of all commits with entries at `time` or later that meet a clause, in order."""
        documents = await self._commits.query(
            "find",
            f"SELECT {PLACE_COLUMNS} FROM c WHERE c.time >= @time AND {clause}",  # noqa: S608  # constants
            values={"time": time, **values},
        )
        return self._in_order(documents)

    async def load(self, verb: str, places: Sequence[Place]) -> Sequence[Commit]:
        """Return the commits at these places: all, or as many first ones as have the bytes of a page."""
        commits, size = list[Commit](), 0
        for segment, group in itertools.groupby(places, key=lambda place: place.segment):
            queue = list(group)
            while queue and size <= PAGE_BYTES_MAX:
                part = await self._load(verb, first_places(queue), segment=segment)
                commits += part
                size += sum(commit.size for commit in part)
                queue = queue[len(part) :]
            if queue:
                break
        return commits

    async def seek(self, time: int, *, log_start: int, end: int) -> int:
        """Return the first position after `log_start` registered at `time` or later. The entry at `end` must be."""
        while True:
            segment = await self._first_segment_ending_at(time, first=self.of(log_start + 1), last=self.of(end))
            if (position := await self._first_at(time, segment=segment)) is not None:
                return position
            if segment == self.of(end):
                raise DamagedAt(end, "the store has no entry of its time")
            await self._note_deleted(segment)

    async def check(self, position: int) -> None:
        """Raise `DamagedAt` if the entries around a position are still damaged."""
        log_start = (await self._manifest.recent()).log_start  # another process may have moved it
        if position > log_start:
            await self.read("check", after=max(position - 2, log_start), entries=CHECK_ENTRIES)

    async def _load(self, verb: str, places: Sequence[Place], *, segment: int) -> Sequence[Commit]:
        """Return the first of these commits of one segment, from the cache and in one request from the store."""
        commits = {each.first: commit for each in places if (commit := self._cache.get(self._key(each.first)))}
        if missing := [each.first for each in places if each.first not in commits]:
            names, values = value_list("id", [document_id(first) for first in missing])
            page = await self._commits.page(
                verb,
                f"SELECT {COMMIT_COLUMNS} FROM c "  # noqa: S608  # constants
                f"WHERE c.segment = @segment AND c.id IN ({names}) ORDER BY c.last",
                partition=segment,
                values={"segment": segment, **values},
                size=len(missing),
            )
            commits |= {commit.first: commit for commit in map(self._commit, page.documents)}
            if missing[0] not in commits:
                raise DamagedAt(missing[0], "the store has lost its commit during the search")
        part = [commits[each.first] for each in itertools.takewhile(lambda each: each.first in commits, places)]
        for commit in part:
            if commit.size < CACHE_BYTES_MAX:
                self._cache[self._key(commit.first)] = commit
        return part

    async def _start_after_gap(self, position: int) -> int:
        """Return the position before the first entry that the store still has.

        Raises `DamagedAt` if one before the gap remains, or if nothing can have expired yet.
        """
        first = await self.first_remaining()
        if not first or first <= position + 1 or not self._may_have_expired():
            raise DamagedAt(position + 1, "the store has no such entry")
        return first - 1

    async def _first_at(self, time: int, *, segment: int) -> int | None:
        """Return the first position of a segment registered at `time` or later; None if there is none."""
        page = await self._commits.page(
            "seek",
            f"SELECT TOP 1 {COMMIT_COLUMNS} FROM c "  # noqa: S608  # constants
            "WHERE c.segment = @segment AND c.time >= @time ORDER BY c.time, c.last",
            partition=segment,
            values={"segment": segment, "time": time},
            size=1,
        )
        entries = [entry for each in page.documents for entry in self._commit(each).entries if entry.time >= time]
        return entries[0].sequence if entries else None

    async def _segment_end(self, segment: int) -> End:
        """Return a segment's last entry. The bound is the place in the index at which its descending order begins."""
        documents = await self._commits.query(
            "head",
            f"SELECT TOP 1 {PLACE_COLUMNS} FROM c "  # noqa: S608  # constants
            "WHERE c.segment = @segment AND c.last <= @through ORDER BY c.last DESC",
            partition=segment,
            values={"segment": segment, "through": self.last_position(segment)},
        )
        for document in documents:
            place = self._place(document)
            return End(place.last, place.time)
        return End()

    async def _first_segment_ending_at(self, time: int, *, first: int, last: int) -> int:
        """Return the first segment from `first` to `last` with an entry at `time` or later; `last` if none has one."""
        while first < last:
            middle = (first + last) // 2
            end = await self._full_end(middle)
            if end is None or end.time < time:
                first = middle + 1
            else:
                last = middle
        return first

    async def _full_end(self, segment: int) -> End | None:
        """Return the last entry of a full segment; None if the store has deleted it: the last entry expires last."""
        if segment > self._last_deleted and segment not in self._full_ends:
            end, last = await self._segment_end(segment), self.last_position(segment)
            if end.position == last:
                self._full_ends[segment] = end
            elif end.position:
                raise DamagedAt(end.position + 1, "the store has no such entry")
            else:
                await self._note_deleted(segment)
        return self._full_ends[segment] if segment > self._last_deleted else None

    async def _note_deleted(self, segment: int) -> None:
        """Note that the store has deleted a segment by age. Raises `DamagedAt` if an earlier entry remains."""
        last = self.last_position(segment)
        if await self.first_remaining() <= last:
            raise DamagedAt(last, "the store has no such entry")
        self._last_deleted = max(self._last_deleted, segment)

    async def _one_position(self, scope: str, *, low: int, member: str) -> int:
        """Return the position in a member of the first of these commits."""
        sql = f"SELECT TOP 1 VALUE c.{member} FROM c {scope}"  # noqa: S608  # constants
        positions: Sequence[object] = await self._commits.query("head", sql, values={"low": low})
        position = positions[0] if positions else 0
        if not isinstance(position, int):
            raise DamagedAt(0, "a document is no commit")
        return position

    def _in_order(self, documents: Iterable[Document]) -> Sequence[Place]:
        return sorted(set(map(self._place, documents)), key=lambda place: place.first)

    def _commit(self, document: Document) -> Commit:
        return commit_of(document, segment_entries=self._manifest.latest.segment_entries)

    def _place(self, document: Document) -> Place:
        return place_of(document, segment_entries=self._manifest.latest.segment_entries)

    def _key(self, first: int) -> tuple[str, int]:
        """Return the key of a commit in the cache. A log with another name may have others at the same places."""
        return self._manifest.latest.name, first

    def _first_commits(self, documents: Sequence[Document], *, after: int, entries: int) -> Sequence[Commit]:
        """Return the first of these commits: as many as have some entries after a position, or the bytes of a page."""
        commits, size = list[Commit](), 0
        for document in documents:
            commits.append(self._commit(document))
            size += commits[-1].size
            if commits[-1].last - max(after, commits[0].first - 1) >= entries or size > PAGE_BYTES_MAX:
                break
        return commits

    def _bound(self, through: int, segment: int) -> int:
        """Return the highest last position of a commit of a segment that has a position up to `through`."""
        return min(through + COMMIT_ENTRIES_MAX - 1, self.last_position(segment))


def _require_order(commits: Sequence[Commit]) -> None:
    for before, commit in itertools.pairwise(commits):
        if commit.first != before.last + 1:
            missing = commit.first > before.last + 1
            position = before.last + 1 if missing else commit.first
            raise DamagedAt(position, "the store has no such entry" if missing else "two commits have it")
