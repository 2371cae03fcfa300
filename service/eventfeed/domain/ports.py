"""Ports: the services that the product needs. Their docstrings are the contract of every implementation."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

import msgspec

from eventfeed.domain.approval import Approval, AuditEntry, AuditRange
from eventfeed.domain.decision import Question
from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.feed import PAGE_BYTES_MAX, Feed
from eventfeed.domain.page_entries import PageEntries
from eventfeed.domain.principal import Principal

# The present time, in nanoseconds since 1970 UTC. Moments are microseconds.
Clock = Callable[[], int]
CLOCK_SECOND = 1_000_000_000


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Both ends of the log `log`: `end_offset` and `time` of its last entry, `log_start` the last expired position.

    0 means "none yet" in each.
    """

    log: str
    log_start: int
    end_offset: int
    time: int

    @property
    def events_text(self) -> str:
        """The sequences of the events that the log has, as text."""
        has_events = self.log_start < self.end_offset
        return f"the events {self.log_start + 1} to {self.end_offset}" if has_events else "no events"


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The entry of an identity: its position and time, the content to compare a repeat with, and its write id."""

    sequence: int
    time: int
    content: bytes
    write_id: str


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """The log's answer for some events: stored identities, and the app that first published each instance."""

    identities: Mapping[Identity, StoredEvent]
    owners: Mapping[str, App]


# Returns the entries of a batch that the log lacks, numbered from the end of the log that it is called with.
Plan = Callable[[Lookup, Head], Sequence[Entry]]


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """Entries in order, the last position examined for them, and the log start after the scan.

    `positions` holds the entries' sequences, 8 bytes each, where they are at hand. `is_full`: the next match does not
    fit into the bytes.
    """

    entries: PageEntries
    examined: int
    log_start: int
    positions: bytes | None = None
    is_full: bool = False


class EventLog(Protocol):
    """Consecutive numbers, each an entry that never changes. Every method is safe to repeat.

    Every method raises `Unavailable` when the store does not respond: `NotDone` if the store certainly did nothing,
    and `StoreAway` if nothing was sent.
    """

    # The name of the engine, for telemetry.
    engine: str
    # The most entries and bytes of events in one append.
    batch_entries_max: int
    batch_bytes_max: int
    # The longest time (s) that a busy appender may now wait for a batch to grow. 0.0: writes are cheap, however small.
    linger_seconds_max: float
    # True if the store deletes entries by age alone, the last one too: a new entry must come before that.
    end_ages: bool
    # The longest time (s) until this process can read an entry that another one has written. 0.0: at once.
    lag_seconds_max: float

    def head(self) -> Awaitable[Head]:
        """Return both ends, as the store has them now. Raises `LogDamaged` if the end contradicts its record."""
        ...

    def append(self, entries: Sequence[Entry], *, after: int) -> Awaitable[None]:
        """Make `entries`, numbered from `after` + 1, durable: all of them or a first part.

        Raises `TailMoved` if the log does not end at `after`, `NotDone` if nothing was written, and `OutcomeUnknown` if
        the store did not confirm; then `follow` shows the outcome, position by position.
        """
        ...

    def append_new(self, events: Sequence[Event], *, tail: Head, plan: Plan) -> Awaitable[None]:
        """Look up `events`, and append the entries that `plan` returns for the answer and for an end of the log.

        The end is `tail`, or a later one that the engine has read. No other entry comes between the lookup, for which
        an engine may leave out identities of old entries, and the append. `plan` is called at most once, in any thread;
        without a call, or if it raises, nothing is written. Raises as `append` does, and `TailMoved` if the log ends
        before `tail`.
        """
        ...

    def follow(self, *, after: int, limit: int) -> Awaitable[Sequence[Entry]]:
        """Return at most `limit` entries that come right after `after`, of any feed, in order."""
        ...

    def scan(
        self, feed: Feed, *, after: int, through: int, limit: int, bytes_max: int = PAGE_BYTES_MAX
    ) -> Awaitable[Scan]:
        """Return at most `limit` entries of a feed, in order, with `after` < sequence <= `through`.

        They are whole if the feed `needs_events`. Their `json_bytes` are at most `bytes_max`, but of one entry; events
        beyond that are not read. Every match up to `examined` is included. `examined` is `through` unless the limit,
        the bytes or the engine's own budget ended the scan before; it is past `after` whenever `through` is. Conditions
        on `COMPUTED_FIELDS` are the caller's to check.
        """
        ...

    def seek(self, time: int) -> Awaitable[int]:
        """Return the last position registered before `time`; the log start if there is none."""
        ...

    def expire(self, *, before: int) -> Awaitable[int]:
        """Delete entries registered before `time`, but never the last one; return the new log start.

        A call deletes a bounded number: repeat it until the log start stays.
        """
        ...

    def probe(self) -> Awaitable[Head]:
        """Return both ends, after a write that changes nothing. Raises `StoreUnusable` if an append would fail now."""
        ...

    async def rename(self) -> str:
        """Give the log a new name, which invalidates every earlier cursor; return the name."""
        ...

    async def close(self) -> None:
        """Close the store."""
        ...


class ImportLog(EventLog, Protocol):
    """A log that takes the events of another system, or those of another log."""

    # The most entries in one append of an import.
    import_entries_max: int

    def find_identities(self, identities: Sequence[Identity]) -> Awaitable[Mapping[Identity, StoredEvent]]:
        """Look up these identities among all entries in the store, however old."""
        ...

    def adopt(self, name: str, *, log_start: int) -> Awaitable[None]:
        """Give an empty log the name and the start of another log, whose entries follow.

        Raises `TailMoved` if it has entries.
        """
        ...

    def begin_import(self) -> Awaitable[None]:
        """Prepare the log for many appends in a row. Until `end_import` no feed of it may be read."""
        ...

    def end_import(self) -> Awaitable[None]:
        """Make the log ready for a service again."""
        ...


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation in the register: number (9 digits), party, and the short name of an owner of apps."""

    number: str
    party: str
    org: str | None = None


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A person in the register, by the platform's ids, never by person number.

    Someone who has never used the platform is a party, but no user.
    """

    user: str | None
    party: str


class Register(Protocol):
    """People and organisations. Raises `Unavailable` when it does not respond."""

    async def organisation(self, number: str) -> Organisation | None:
        """Return the organisation with this number (9 digits), None if there is none."""
        ...

    async def person(self, number: str) -> Person | None:
        """Return the person with this number (11 digits), None if there is none."""
        ...

    async def party(self, uuid: str) -> str | None:
        """Return the id of the party with this uuid (lower case), None if there is none."""
        ...

    async def subunits(self, party: str | None) -> AbstractSet[str]:
        """Return the parties of all sub-units of a party's unit, at every depth.

        None stands for a party that does not exist: it takes the same steps.
        """
        ...


class DecisionPoint(Protocol):
    """Decisions about who may read or publish what. Safe to repeat."""

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """Return the questions whose answer is a plain yes, at the caller's level of authentication.

        Raises `Unavailable` if any has no answer, which is neither yes nor no; `Undecided` if the others have one.
        """
        ...


class Relations(Protocol):
    """Relations between callers and parties or resources, known without their events."""

    async def with_relation(self, principal: Principal, parties: AbstractSet[str | None]) -> AbstractSet[str | None]:
        """Return the parties, without those of which it is certain that the caller may read no event.

        None stands for a party that does not exist: it takes the same steps.
        """
        ...

    async def owns(self, principal: Principal, resource: str) -> bool:
        """True if the caller's organisation owns a resource of no app: it publishes its events, and reads all of them.

        False if the owner is unknown: then the decision point decides.
        """
        ...

    async def may_have_reader(self, resource: str, party: str | None) -> bool:
        """True unless it is certain that nobody may read events of a resource of no app about this party."""
        ...


class Approvals(Protocol):
    """Approvals for the reportees feed. Raises `Unavailable` when the store does not respond."""

    def approval(self, organisation: str) -> Awaitable[Approval | None]:
        """Return the approval of this organisation number, valid or not; None if it has none."""
        ...

    def approve(self, approval: Approval, *, seed: bool = False) -> Awaitable[None]:
        """Store the organisation's approval. A `seed` never replaces an earlier decision."""
        ...

    def withdraw(self, organisation: str) -> Awaitable[bool]:
        """Withdraw an organisation's approval; True if it had one."""
        ...

    def organisations(self) -> Awaitable[Sequence[str]]:
        """Return the organisations with a decision, an approval or a withdrawal, in order."""
        ...


class Audit(Protocol):
    """The audit log of reads for every party and of approvals. Its entries never change and are never deleted."""

    def record(self, *entries: AuditEntry) -> Awaitable[None]:
        """Make entries durable. Raises `Unavailable` if that is not certain of each."""
        ...

    def entries(self, bounds: AuditRange) -> AsyncIterator[AuditEntry]:
        """Yield the entries in these bounds, oldest first."""
        ...

    def probe(self) -> Awaitable[None]:
        """Raise `StoreUnusable` if the store of the entries is lost."""
        ...
