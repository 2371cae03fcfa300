"""What the product needs of the world, in its own verbs. The docstrings are the contract of every implementation."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

import msgspec

from eventfeed.domain.approval import Approval, Audited, AuditRange
from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.feed import Query, Question
from eventfeed.domain.principal import Principal

# Now, in microseconds since 1970 UTC.
Clock = Callable[[], int]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Both ends of a log: `position` and `time` of its last entry, `log_start` the last one retention took.

    0 stands for "none yet" in each.
    """

    log: str
    log_start: int
    end_offset: int
    time: int


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An identity's place in the log: what a second publish of it must be compared with, and which try wrote it."""

    sequence: int
    time: int
    content: bytes
    write_id: str


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """What the log knows of some events: their identities, and the app that published each instance first."""

    identities: Mapping[Identity, StoredEvent]
    owners: Mapping[str, App]


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """Entries in order, the last position examined for them, and the floor when all of that was done.

    `places` are those of the entries, 8 bytes each, where they are at hand.
    """

    entries: Sequence[Entry]
    examined: int
    log_start: int
    places: bytes | None = None


class EventLog(Protocol):
    """A run of consecutive numbers, each an entry that never changes. Every verb is safe to repeat.

    Every verb raises `Unavailable` when the store does not answer.
    """

    # What keeps the log, in a word.
    engine: str
    # The most entries and bytes of events one append takes.
    batch_entries_max: int
    batch_bytes_max: int
    # Whether the store deletes entries by their age alone, the last one too: then a new one must come before that.
    end_ages: bool

    @property
    def clock_skew(self) -> int:
        """How far this machine's clock is from the store's, as far as its answers make certain (µs)."""
        ...

    async def head(self) -> Head:
        """Both ends, as the store has them now. Raises `LogDamaged` when the end is not where the record says."""
        ...

    async def append(self, entries: Sequence[Entry], *, after: int) -> None:
        """Make `entries`, numbered from `after` + 1 on, durable, all of them or a first part.

        Raises `TailMoved` when the log does not end at `after`, and `OutcomeUnknown` when nobody can say; then
        `follow` tells, position by position.
        """
        ...

    async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
        """At most `limit` entries that come right after `after`, whatever they are, in order."""
        ...

    async def scan(self, query: Query, *, after: int, through: int, limit: int) -> Scan:
        """At most `limit` entries that match, in order, with `after` < sequence <= `through`.

        Every match up to `examined` is there. `examined` is `through` unless the limit, the bytes of a page or the
        engine's own budget ended the scan before; it is past `after` whenever `through` is.
        """
        ...

    async def find(self, events: Sequence[Event]) -> Lookup:
        """What is known of these events, over everything the store holds."""
        ...

    async def seek(self, time: int) -> int:
        """The last position registered before `time`; the floor when there is none."""
        ...

    async def expire(self, *, before: int) -> int:
        """Take away entries registered before `time`, but never the last one; the new floor.

        Bounded: it may need asking again until the floor stays.
        """
        ...

    async def rename(self) -> str:
        """Give the log a new name, so that every cursor given out before is refused; the name."""
        ...

    async def close(self) -> None:
        """Let go of the store."""
        ...


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation the register knows: number (9 digits), party, and the short name of one that owns apps."""

    number: str
    party: str
    org: str | None = None


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A person the register knows, by the platform's own ids: never by the number they were found by.

    Who never used the platform is a party, but no user.
    """

    user: str | None
    party: str


class Register(Protocol):
    """People and organisations. Raises `Unavailable` when it does not answer."""

    async def organisation(self, number: str) -> Organisation | None:
        """The organisation with this number (9 digits), None when there is none."""
        ...

    async def person(self, number: str) -> Person | None:
        """The person with this number (11 digits), None when there is none."""
        ...


class DecisionPoint(Protocol):
    """Decides who may read what. Safe to repeat."""

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """Those of the questions whose answer is a plain yes, at the caller's level of authentication.

        Raises `Unavailable` when any of them got no answer: silence is neither yes nor no. It is `Undecided` when the
        others did.
        """
        ...


class Approvals(Protocol):
    """Which organisations may hear of changes for every party. Raises `Unavailable` when the store does not answer."""

    async def approval(self, organisation: str) -> Approval | None:
        """The approval of this organisation number, valid or not; None when it has none."""
        ...

    async def approve(self, approval: Approval, *, seed: bool = False) -> None:
        """Make this the organisation's approval. A `seed` gives way to whatever was ever decided on it."""
        ...

    async def withdraw(self, organisation: str) -> bool:
        """Take an organisation's approval away; whether it had one."""
        ...


class Audit(Protocol):
    """The record of what was read for every party, and of who was let to. Nothing in it changes or goes."""

    async def record(self, entry: Audited) -> None:
        """Make an entry durable. Raises `Unavailable` when that cannot be said."""
        ...

    def recorded(self, wanted: AuditRange) -> AsyncIterator[Audited]:
        """The entries of a range, oldest first."""
        ...
