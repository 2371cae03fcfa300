"""Plans of batches: which events are new, repeated, in conflict or not the publisher's to send."""

from collections.abc import Mapping, Sequence

import msgspec

from eventfeed.domain.errors import EventConflict, Fault, ForeignSource
from eventfeed.domain.event import App, Event, Identity
from eventfeed.domain.ports import Lookup, StoredEvent
from eventfeed.domain.principal import SCOPE_PUBLISH_ADMIN


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one request, in order, each with its JSON pointer into the body; `admin` may publish for any org.

    `traceparent` is that of the request; "" if it is not traced.
    """

    events: Sequence[Event]
    pointers: Sequence[str]
    admin: bool
    traceparent: str = ""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Proof that an event is durable. `time` is its registration (µs since 1970)."""

    identity: Identity
    sequence: int
    time: int
    duplicate: bool


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that this batch appends, by its index in the batch; `is_repeat` if an earlier submission brought it."""

    index: int
    is_repeat: bool


Outcome = EventConflict | ForeignSource | Sequence[StoredEvent | NewEvent]


class BatchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The events to append, in order, and an outcome for each submission: a refusal, or an entry for each."""

    events: Sequence[Event]
    outcomes: Sequence[Outcome]


def plan_batch(submissions: Sequence[Submission], lookup: Lookup) -> BatchPlan:
    """Compare a batch with the stored events, and each of its events with those before it.

    A submission with one refused event adds nothing: not to the log, and not to the comparison of later submissions.
    """
    batch = _Batch(lookup)
    outcomes = [batch.add(submission) for submission in submissions]
    return BatchPlan(events=batch.events, outcomes=outcomes)


class _Batch:
    """The batch so far: its events, and the owner of each instance."""

    def __init__(self, lookup: Lookup) -> None:
        self.events: list[Event] = []
        self._entries = lookup.identities
        self._index: dict[Identity, int] = {}
        self._owners = dict(lookup.owners)

    def add(self, submission: Submission) -> Outcome:
        """Take a submission as a whole, or refuse it as a whole."""
        contents: dict[Identity, bytes] = {}
        owners: dict[str, App] = {}
        conflicts, foreign = list[Fault](), list[Fault]()
        for event, pointer in zip(submission.events, submission.pointers, strict=True):
            first = self._content(event.identity, contents)
            if first is None:
                contents[event.identity] = event.content
                if not (submission.admin or self._owns(event, owners)):
                    foreign.append(
                        Fault(pointer=pointer, detail="belongs to an instance that another app published first")
                    )
            elif first != event.content:
                conflicts.append(Fault(pointer=pointer, detail="has the source and id of an event with other content"))
        if conflicts:
            return EventConflict("An event with this identity and other content exists.", faults=conflicts)
        if foreign:
            return ForeignSource("The instance belongs to another app.", scope=SCOPE_PUBLISH_ADMIN, faults=foreign)
        return [self._add(event) for event in submission.events]

    def _content(self, identity: Identity, contents: Mapping[Identity, bytes]) -> bytes | None:
        """Return the content of this identity in the log, in this batch or in the submission itself."""
        if match := self._entries.get(identity):
            return match.content
        index = self._index.get(identity)
        return contents.get(identity) if index is None else self.events[index].content

    def _owns(self, event: Event, owners: dict[str, App]) -> bool:
        """True if the event's app owns its instance; `owners` holds the instances new in this submission."""
        if event.instance is None or event.app is None:
            return True
        owner = self._owners.get(event.instance) or owners.setdefault(event.instance, event.app)
        return owner == event.app

    def _add(self, event: Event) -> StoredEvent | NewEvent:
        if match := self._entries.get(event.identity):
            return match
        index = self._index.setdefault(event.identity, len(self.events))
        if index < len(self.events):
            return NewEvent(index=index, is_repeat=True)
        self.events.append(event)
        if event.instance is not None and event.app is not None:
            self._owners.setdefault(event.instance, event.app)
        return NewEvent(index=index, is_repeat=False)
