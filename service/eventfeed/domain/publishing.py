"""What becomes of the events that publishers send: new, known, contradicted, or not theirs to send."""

import functools
from collections.abc import Mapping, Sequence

import msgspec

from eventfeed.domain.errors import EventConflict, Fault, ForeignSource
from eventfeed.domain.event import App, Event, Identity
from eventfeed.domain.ports import Lookup, StoredEvent
from eventfeed.domain.principal import SCOPE_PUBLISH_ADMIN


class Submission(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The events of one request, in order, each with its JSON pointer into the body; `admin` may speak for any org.

    `trace` is what the request is done in, as a `traceparent`; "" when it is not traced.
    """

    events: Sequence[Event]
    pointers: Sequence[str]
    admin: bool
    trace: str = ""

    @functools.cached_property
    def weight(self) -> int:
        """Bytes of the events."""
        return sum(len(event.body) for event in self.events)


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Proof that an event is in the log for good. `time` is its registration (µs since 1970)."""

    identity: Identity
    sequence: int
    time: int
    duplicate: bool


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that this batch appends, by its place in the batch; `repeated` when an earlier one brought it."""

    index: int
    repeated: bool


Answer = EventConflict | ForeignSource | Sequence[StoredEvent | NewEvent]


class BatchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to append, in order, and an answer for each submission: a refusal, or a place for each event."""

    fresh: Sequence[Event]
    answers: Sequence[Answer]


def plan_batch(submissions: Sequence[Submission], found: Lookup) -> BatchPlan:
    """Decide a batch against what the log knows, and each event against those before it.

    A submission with one refused event adds nothing: not to the log, not to what later ones are compared with.
    """
    batch = _Batch(found)
    answers = [batch.answer(submission) for submission in submissions]
    return BatchPlan(fresh=batch.fresh, answers=answers)


class _Batch:
    """The batch so far: what will be appended, and whose each instance is."""

    def __init__(self, found: Lookup) -> None:
        self.fresh: list[Event] = []
        self._known = found.identities
        self._index: dict[Identity, int] = {}
        self._owners = dict(found.owners)

    def answer(self, submission: Submission) -> Answer:
        """Take a submission in whole, or refuse it whole."""
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
            return ForeignSource("The instance is another app's.", scope=SCOPE_PUBLISH_ADMIN, faults=foreign)
        return [self._place(event) for event in submission.events]

    def _content(self, identity: Identity, contents: Mapping[Identity, bytes]) -> bytes | None:
        """What stands for this identity already: in the log, in this batch, or in the submission itself."""
        if known := self._known.get(identity):
            return known.content
        index = self._index.get(identity)
        return contents.get(identity) if index is None else self.fresh[index].content

    def _owns(self, event: Event, owners: dict[str, App]) -> bool:
        """Whether the event's app may speak of its instance; in `owners` the submission remembers its own."""
        if event.instance is None or event.app is None:
            return True
        owner = self._owners.get(event.instance) or owners.setdefault(event.instance, event.app)
        return owner == event.app

    def _place(self, event: Event) -> StoredEvent | NewEvent:
        if known := self._known.get(event.identity):
            return known
        index = self._index.setdefault(event.identity, len(self.fresh))
        if index < len(self.fresh):
            return NewEvent(index=index, repeated=True)
        self.fresh.append(event)
        if event.instance is not None and event.app is not None:
            self._owners.setdefault(event.instance, event.app)
        return NewEvent(index=index, repeated=False)
