"""The events to publish: cases of an app, from their creation to their completion, about a few parties."""

import random
import uuid
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from loadtests.users import World

COMPLETED_TYPE = "instance.process.completed"
_STEP_TYPES = ("instance.created", COMPLETED_TYPE)
# One case in ten is about an estate, which the bank reads. One in eight is about the citizen, one about the client.
_CASES_PER_ESTATE, _CASES_PER_USER = 10, 8
_OTHER_PARTIES = 100
# Events per request: mostly one, sometimes a few, seldom the maximum.
_SIZES, _WEIGHTS = (1, 2, 5, 20, 100), (70, 15, 10, 4, 1)


class Step(NamedTuple):
    """An event of a case in the form it is published, and the feeds that must contain it."""

    event: dict[str, object]
    party: str
    guid: str
    feeds: Sequence[str]


def batch(world: World, rng: random.Random) -> list[Step]:
    """The steps of one request."""
    size = rng.choices(_SIZES, _WEIGHTS)[0]
    steps = list[Step]()
    while len(steps) < size:
        case = list(_case(world, rng))
        steps += case if size > 1 else [rng.choice(case)]
    return steps[:size]


def _case(world: World, rng: random.Random) -> Iterator[Step]:
    number = rng.randrange(_CASES_PER_USER)
    party = {0: world.citizen, 1: world.organisation}.get(number, str(60_000_000 + rng.randrange(_OTHER_PARTIES)))
    guid = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    first_type = world.types[0] if not rng.randrange(_CASES_PER_ESTATE) else _STEP_TYPES[0]
    for type_ in (first_type, *_STEP_TYPES[1:]):
        event: dict[str, object] = {
            "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            "source": f"https://{world.org}.apps.example.no/{world.org}/{world.app}/instances/{party}/{guid}",
            "specversion": "1.0",
            "type": type_,
            "subject": f"/party/{party}",
        }
        yield Step(event, party, guid, (app_feed(world, type_), party_feed(party), type_feed(type_)))


def app_feed(world: World, type_: str) -> str:
    """The key of the app's feed of one type."""
    return f"app {world.org}/{world.app} {type_}"


def party_feed(party: str) -> str:
    """The key of a party's feed."""
    return f"party {party}"


def type_feed(type_: str) -> str:
    """The key of the feed of one type for every party."""
    return f"type {type_}"
