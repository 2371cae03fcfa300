"""The check of a log in Cosmos DB: each document of a commit, its index terms, and the owners of its instances."""

from collections.abc import AsyncIterator, Iterator, Sequence
from operator import itemgetter

from eventfeed.domain.errors import LogDamaged
from eventfeed.domain.event import Entry
from eventfeed.domain.ports import Head
from eventfeed.log.cosmos.damage import DamagedAt
from eventfeed.log.cosmos.database import Calls, Document
from eventfeed.log.cosmos.documents import commit_of, terms_of
from eventfeed.log.cosmos.owners import Owners
from eventfeed.log.cosmos.queries import value_list
from eventfeed.log.entry_check import EntryCheck

# Commits of one request.
CHECK_COMMITS = 10


class LogCheck:
    """A check of the documents of a log with this head. It can be used once."""

    def __init__(self, commits: Calls, owners: Owners, *, head: Head, segment_entries: int) -> None:
        self._commits, self._owners, self._head, self._segment_entries = commits, owners, head, segment_entries
        self._entries = EntryCheck(head)

    async def faults(self) -> AsyncIterator[str]:
        """Yield the faults of the documents, in the order of the log."""
        first, last = (
            position // self._segment_entries for position in (self._head.log_start + 1, self._head.end_offset)
        )
        for segment in range(first, last + 1):
            ids = await self._ids(segment)
            for start in range(0, len(ids), CHECK_COMMITS):
                for document in await self._documents(segment, ids[start : start + CHECK_COMMITS]):
                    async for fault in self._document_faults(document):
                        yield fault
        for fault in self._entries.end_faults():
            yield fault

    async def stray_documents(self, *, end_offset: int) -> Sequence[str]:
        """Return faults for documents after the segment of the end."""
        documents = await self._commits.query(
            "check",
            "SELECT c.id FROM c WHERE c.segment > @last OR NOT IS_NUMBER(c.segment)",
            values={"last": end_offset // self._segment_entries},
        )
        return [f"The document {document['id']} is after the end of the log." for document in documents]

    async def _ids(self, segment: int) -> Sequence[str]:
        """Return the ids of a segment's documents, but not of those that have expired or came after the head."""
        documents = await self._commits.query(
            "check",
            "SELECT c.id FROM c WHERE c.segment = @segment AND (NOT IS_NUMBER(c.last) OR c.last > @log_start) "
            "AND (NOT IS_NUMBER(c.first) OR c.first <= @end)",
            partition=segment,
            values={"segment": segment, "log_start": self._head.log_start, "end": self._head.end_offset},
        )
        return sorted(document["id"] for document in documents)

    async def _documents(self, segment: int, ids: Sequence[str]) -> Sequence[Document]:
        names, values = value_list("id", ids)
        documents = await self._commits.query(
            "check",
            f"SELECT * FROM c WHERE c.segment = @segment AND c.id IN ({names})",  # noqa: S608  # parameters
            partition=segment,
            values={"segment": segment, **values},
        )
        return sorted(documents, key=itemgetter("id"))

    async def _document_faults(self, document: Document) -> AsyncIterator[str]:
        try:
            commit = commit_of(document, segment_entries=self._segment_entries)
        except DamagedAt as damage:
            yield str(damage)
            return
        entries = [each for each in commit.entries if self._head.log_start < each.sequence <= self._head.end_offset]
        for fault in (*self._entries.faults(entries), *_term_faults(document, commit.entries)):
            yield fault
        for fault in await self._missing_owners(entries):
            yield fault

    async def _missing_owners(self, entries: Sequence[Entry]) -> Sequence[str]:
        firsts = {each.event.instance: each.sequence for each in reversed(entries) if each.event.app}
        instances = [instance for instance in firsts if instance is not None]
        try:
            owners = await self._owners.find(instances) if instances else {}
        except LogDamaged as damage:
            return [str(damage)]
        return [f"The instance of entry {firsts[each]} has no owner." for each in instances if each not in owners]


def _term_faults(document: Document, entries: Sequence[Entry]) -> Iterator[str]:
    """Yield a fault for each kind of index terms that are not those of the entries."""
    for name, terms in terms_of([entry.event for entry in entries]).items():
        actual = document.get(name)
        if not isinstance(actual, list) or set(actual) != set(terms):
            yield f"The entries {entries[0].sequence} to {entries[-1].sequence} are indexed by other {name}."
