"""What is published: cases of an app, from their beginning to their end, about a handful of parties."""

import random
import uuid
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from loadtests.people import World

COMPLETED = "instance.process.completed"
_STEPS = ("instance.created", COMPLETED)
# Of so many cases one is about an estate, which the bank hears of; of so many one each about citizen and organisation.
_ESTATES, _KNOWN = 10, 8
_OTHERS = 100
# How many events a request holds: mostly one, sometimes a handful, seldom as many as there may be.
_SIZES, _WEIGHTS = (1, 2, 5, 20, 100), (70, 15, 10, 4, 1)


class Step(NamedTuple):
    """An event of a case as it is published, and the feeds that must show it."""

    event: dict[str, object]
    party: str
    guid: str
    feeds: Sequence[str]


def batch(world: World, rng: random.Random) -> list[Step]:
    """The steps of as many cases as go into one request."""
    size = rng.choices(_SIZES, _WEIGHTS)[0]
    steps = list[Step]()
    while len(steps) < size:
        case = list(_case(world, rng))
        steps += case if size > 1 else [rng.choice(case)]
    return steps[:size]


def _case(world: World, rng: random.Random) -> Iterator[Step]:
    about = rng.randrange(_KNOWN)
    party = {0: world.citizen, 1: world.organisation}.get(about, str(60_000_000 + rng.randrange(_OTHERS)))
    guid = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    first = world.types[0] if not rng.randrange(_ESTATES) else _STEPS[0]
    for kind in (first, *_STEPS[1:]):
        event: dict[str, object] = {
            "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            "source": f"https://{world.org}.apps.example.no/{world.org}/{world.app}/instances/{party}/{guid}",
            "specversion": "1.0",
            "type": kind,
            "subject": f"/party/{party}",
        }
        yield Step(event, party, guid, (app_feed(world, kind), party_feed(party), types_feed(kind)))


def app_feed(world: World, kind: str) -> str:
    """The feed of an app's events of a type, by a name of its own."""
    return f"app {world.org}/{world.app} {kind}"


def party_feed(party: str) -> str:
    """A party's feed."""
    return f"party {party}"


def types_feed(kind: str) -> str:
    """The feed of everybody's events of a type."""
    return f"type {kind}"
