"""Sample events of realistic cases, generated from a seed, for development and tests."""

import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from eventfeed.domain.moment import format_moment

# The events of a case are within three days, and all cases within sixty (µs).
_STEP = 3 * 24 * 3_600 * 1_000_000
_SPREAD = 60 * 24 * 3_600 * 1_000_000


class _App(NamedTuple):
    """An app, the number of tasks of its cases, and the share of cases that stop before the last one."""

    org: str
    name: str
    tasks: int
    dropout: float


_APPS = (
    _App("ttd", "bolig", tasks=2, dropout=0.2),
    _App("ttd", "forerkort", tasks=3, dropout=0.1),
    _App("skd", "skattemelding", tasks=2, dropout=0.3),
    _App("skd", "dodsbo", tasks=1, dropout=0.0),
    _App("kommune", "barnehage", tasks=4, dropout=0.2),
)
# The development population of contract section 8, and companies that are not in it: party and alternative subject.
_PARTIES = (
    (50000001, "/person/01838012345"),
    (50000002, "/person/02838012346"),
    (51000011, "/organisation/310000011"),
    (51000022, "/organisation/310000022"),
    *((51000100 + number, f"/organisation/{310000100 + number}") for number in range(20)),
)

SampleEvent = Mapping[str, object]


def sample_events(seed: int, *, cases: int, until: int) -> Sequence[SampleEvent]:
    """Return the events of so many cases in the order of their times, none after `until` (µs since 1970).

    Each is an app event with an id, ready to publish. The same seed returns the same events.
    """
    rng = random.Random(seed)  # noqa: S311  # the same sample for everyone, not a secret
    moments = [event for _ in range(cases) for event in _case(rng, until)]
    return [event for _, event in sorted(moments, key=lambda pair: pair[0])]


def sample_instance(seed: int, *, cases: int) -> str:
    """Return an instance of `sample_events` that has feedback, as `{partyId}/{guid}`."""
    events = sample_events(seed, cases=cases, until=0)
    source = next(str(event["source"]) for event in events if event["type"] == "instance.feedback.received")
    return "/".join(source.split("/")[-2:])


def _case(rng: random.Random, until: int) -> Iterator[tuple[int, SampleEvent]]:
    """Yield the events of one case with their times: creation, tasks, completion, and perhaps feedback."""
    app, (party, alternative) = rng.choice(_APPS), rng.choice(_PARTIES)
    guid = uuid.UUID(int=rng.getrandbits(128), version=4)
    types = list(_types(rng, app))
    times = sorted(until - rng.randrange(_STEP) for _ in types)
    shift = rng.randrange(_SPREAD)
    for type_, time in zip(types, times, strict=True):
        yield (
            time - shift,
            {
                "specversion": "1.0",
                "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                "source": f"https://{app.org}.apps.example.no/{app.org}/{app.name}/instances/{party}/{guid}",
                "type": type_,
                "subject": f"/party/{party}",
                "alternativesubject": alternative,
                "time": format_moment(time - shift),
            },
        )


def _types(rng: random.Random, app: _App) -> Iterator[str]:
    yield "instance.created"
    if app.name == "dodsbo":
        yield "estate.created"
    last_task = rng.randrange(app.tasks) if rng.random() < app.dropout else None
    for task in range(app.tasks):
        if task == last_task:
            yield from ["instance.deleted"] * (rng.random() < 0.5)
            return
        yield f"instance.process.movedTo.Task_{task + 1}"
    yield "instance.process.completed"
    if rng.random() < 0.6:
        yield "instance.feedback.received"
