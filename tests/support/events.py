"""Events and entries for tests, each unlike the others unless told otherwise."""

import itertools
import uuid
from collections.abc import Sequence

from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.ports import EventLog
from eventfeed.domain.principal import Method, Principal
from eventfeed.domain.publishing import Submission

TTD = App(org="ttd", name="bolig")
_numbers = itertools.count(1)


def guid(number: int) -> str:
    """An instance's guid."""
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
    """A valid event; `name` is its id, `size` makes its body at least that long, `resource` one that is no app's."""
    number = next(_numbers)
    id_ = name or f"event-{number}"
    place = guid(instance or number)
    owner = app or App(org="other", name="thing")
    source = f"https://{owner.org}.apps.example.no/{owner.org}/{owner.name}/instances/{party}/{place}"
    body = f'{{"id":"{id_}","source":"{source}","type":"{type_}","data":"{"x" * size}"}}'.encode()
    return Event(
        identity=Identity(source=source, id=id_),
        type=type_,
        subject=f"/party/{party}",
        app=app,
        instance=place if app else None,
        resource=f"urn:altinn:resource:app_{owner.org}_{owner.name}" if app else resource,
        content=content or id_.encode(),
        body=body,
    )


def caller(
    *, user: str | None = None, organisation: str | None = None, party: str | None = None, level: int = 4
) -> Principal:
    """Someone with a platform token: a user, or an organisation."""
    method = Method.ID_PORTEN if user else Method.MASKINPORTEN
    return Principal(
        method=method,
        level=level,
        scopes=frozenset(),
        token=b"token",
        expires=2**40,
        user=user,
        organisation=organisation,
        party=party,
    )


def entry(sequence: int, *, of: Event | None = None, time: int | None = None, write_id: str = "m") -> Entry:
    """An entry at this place, registered `sequence` seconds after 1970 unless told otherwise."""
    return Entry(
        sequence=sequence,
        time=sequence * 1_000_000 if time is None else time,
        write_id=write_id,
        event=of or event(),
    )


def entries(first: int, last: int) -> list[Entry]:
    """Entries with these sequences, both included."""
    return [entry(sequence) for sequence in range(first, last + 1)]


def submission(*events: Event, admin: bool = False) -> Submission:
    """What a request with these events submits."""
    return Submission(events=events, pointers=[f"/{place}" for place in range(len(events))], admin=admin)


async def everything(log: EventLog) -> Sequence[Entry]:
    """The whole log."""
    return await log.follow(after=0, limit=1_000_000)
