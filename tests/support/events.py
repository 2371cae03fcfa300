"""Events, entries and callers for tests. Events differ from each other unless a test sets their attributes."""

import itertools
import uuid
from collections.abc import Iterable, Sequence

from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.page_entries import PageEntry
from eventfeed.domain.ports import EventLog, Head, Lookup, Plan
from eventfeed.domain.principal import Method, Principal
from eventfeed.domain.publishing import Submission

TTD = App(org="ttd", name="bolig")
_numbers = itertools.count(1)


def guid(number: int) -> str:
    """The guid of an instance."""
    return str(uuid.UUID(int=number, version=4))


def event(
    name: str | None = None,
    *,
    type_: str = "instance.created",
    app: App | None = TTD,
    party: int = 50000001,
    content: bytes | None = None,
    instance: int | None = None,
    resource: str | None = None,
    size: int = 0,
) -> Event:
    """A valid event. `name` is its id, `size` the minimum length of its body, `resource` applies without an app."""
    number = next(_numbers)
    id_ = name or f"event-{number}"
    instance_guid = guid(instance or number)
    owner = app or App(org="other", name="thing")
    source = f"https://{owner.org}.apps.example.no/{owner.org}/{owner.name}/instances/{party}/{instance_guid}"
    body = f'{{"id":"{id_}","source":"{source}","type":"{type_}","data":"{"x" * size}"}}'.encode()
    return Event(
        identity=Identity(source=source, id=id_),
        type=type_,
        subject=f"/party/{party}",
        app=app,
        instance=instance_guid if app else None,
        resource=f"urn:altinn:resource:app_{owner.org}_{owner.name}" if app else resource,
        content=content or id_.encode(),
        body=body,
    )


def caller(
    *,
    user: str | None = None,
    organisation: str | None = None,
    system_user: str | None = None,
    party: str | None = None,
    level: int = 4,
) -> Principal:
    """A caller with a platform token: a user, an organisation or a system user."""
    method = Method.ID_PORTEN if user else Method.MASKINPORTEN
    return Principal(
        method=method,
        level=level,
        scopes=frozenset(),
        token=b"token",
        expires=2**40,
        user=user,
        organisation=organisation,
        system_user=system_user,
        party=party,
    )


def entry(sequence: int, *, of: Event | None = None, time: int | None = None, write_id: str = "m") -> Entry:
    """An entry at this position, by default of a new event and registered `sequence` seconds after 1970."""
    return Entry(
        sequence=sequence,
        time=sequence * 1_000_000 if time is None else time,
        write_id=write_id,
        event=of or event(),
    )


def page_rows(entries: Iterable[PageEntry]) -> list[tuple[int, int, str, bytes]]:
    """The position, time, write id and JSON of entries."""
    return [(each.sequence, each.time, each.write_id, each.json) for each in entries]


def entries(first: int, last: int) -> list[Entry]:
    """Entries with the sequences from `first` to `last`, both included."""
    return [entry(sequence) for sequence in range(first, last + 1)]


def submission(*events: Event, admin: bool = False) -> Submission:
    """The submission of a request with these events."""
    return Submission(events=events, pointers=[f"/{index}" for index in range(len(events))], admin=admin)


async def all_entries(log: EventLog) -> Sequence[Entry]:
    """Return every entry of the log."""
    return await log.follow(after=0, limit=1_000_000)


async def look_up(log: EventLog, *events: Event) -> Lookup:
    """Return the log's answer for a batch of these events, of which nothing is appended."""
    lookups = list[Lookup]()

    def note(lookup: Lookup, end: Head) -> Sequence[Entry]:  # noqa: ARG001  # of the port
        lookups.append(lookup)
        return ()

    await log.append_new(events, tail=await log.head(), plan=note)
    return lookups[0]


async def planned(log: EventLog, events: Sequence[Event], *, tail: Head, plan: Plan) -> Sequence[Entry]:
    """Return the entries of a plan, of which nothing is appended."""
    entries = list[Entry]()

    def note(lookup: Lookup, end: Head) -> Sequence[Entry]:
        entries.extend(plan(lookup, end))
        return ()

    await log.append_new(events, tail=tail, plan=note)
    return entries


def new_entries(*events: Event, write_id: str = "m", time: int = 1_000_000) -> Plan:
    """A plan for these events: it adds those that the log lacks."""

    def plan(lookup: Lookup, end: Head) -> Sequence[Entry]:
        new = (each for each in events if each.identity not in lookup.identities)
        return [
            entry(sequence, of=each, time=max(time, end.time), write_id=write_id)
            for sequence, each in enumerate(new, start=end.end_offset + 1)
        ]

    return plan
