"""A random world: people and organisations with rights, and a log of what happened to them."""

import random
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import msgspec

from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.principal import Method, Principal
from tests.support.events import guid

ORGS, NAMES = ("ttd", "skd"), ("a", "b", "b_c")
TYPES = ("created", "moved", "completed")
PARTIES = tuple(str(50000001 + number) for number in range(5))
OTHER_RESOURCES = ("urn:altinn:resource:other", "urn:nsb:train")
STEP = 1_000_000


# A second policy of some worlds: nobody reads the app `b`, and everybody the trains that are nobody's own.
CLOSED_APP, OPEN_RESOURCE = "b", "urn:nsb:train"
_MORE_POLICIES = f"""
forbid (principal, action, resource) when {{ context has app && context.app == "{CLOSED_APP}" }};
permit (principal, action == Action::"read", resource == Resource::"{OPEN_RESOURCE}")
unless {{ context has party }};
"""


class Said(NamedTuple):
    """What is true of an entry, told without the product's own code."""

    sequence: int
    type: str
    source: str
    party: str | None
    resource: str | None
    app: App | None
    guid: str | None


class Asker(NamedTuple):
    """Who asks, and the parties it may read."""

    principal: Principal
    parties: frozenset[str]
    known: bool = True


class World(NamedTuple):
    """The register's and the policies' files, who may ask, and the log. `more`: the second policy holds."""

    register: bytes
    more: bool
    askers: Sequence[Asker]
    entries: Sequence[Entry]
    said: Sequence[Said]


def world(rng: random.Random) -> World:
    """One world. The entry of sequence N is registered N seconds after 1970."""
    people = [_person(rng, place) for place in range(2)]
    organisations = [_organisation(rng, place) for place in range(2, 4)]
    made = [_entry(rng, sequence) for sequence in range(1, rng.randrange(90) + 1)]
    askers = [_asker(rng, entry, rng.randrange(5)) for entry in [*people, *organisations] for _ in range(2)]
    stranger = _principal(rng.randrange(5), organisation="310009999")
    # The last party is nobody's: somebody must be there whom nobody acts for.
    nobody = {"number": "310009998", "party": PARTIES[4], "name": "nobody"}
    return World(
        register=msgspec.json.encode({"organisations": [*organisations, nobody], "people": people}),
        more=rng.random() < 0.6,
        askers=[*askers, Asker(stranger, frozenset(), known=False)],
        entries=[entry for entry, _ in made],
        said=[said for _, said in made],
    )


def _person(rng: random.Random, place: int) -> dict[str, object]:
    number, user = f"{place + 1:02}838012345", str(20000001 + place)
    return {"number": number, "user": user, "party": PARTIES[place], "name": user, "acts_for": _others(rng, place)}


def _organisation(rng: random.Random, place: int) -> dict[str, object]:
    number = str(310000001 + place)
    return {"number": number, "party": PARTIES[place], "name": number, "acts_for": _others(rng, place)}


def _others(rng: random.Random, place: int) -> Sequence[str]:
    return [party for party in PARTIES if party != PARTIES[place] and rng.random() < 0.3]


def _asker(rng: random.Random, entry: Mapping[str, object], level: int) -> Asker:
    acts_for = msgspec.convert(entry["acts_for"], list[str])
    parties = frozenset([str(entry["party"]), *acts_for])
    named = {"user": str(entry["user"])} if "user" in entry else {"organisation": str(entry["number"])}
    # Who is asked about more often than not may read something.
    return Asker(_principal(level if rng.random() < 0.5 else 4, **named), parties)


def _principal(level: int, **named: str) -> Principal:
    method = Method.ID_PORTEN if "user" in named else Method.MASKINPORTEN
    return Principal(method=method, level=level, scopes=frozenset(), token=b"", expires=2**40, **named)


def _entry(rng: random.Random, sequence: int) -> tuple[Entry, Said]:
    party = rng.choice([*PARTIES, None, None])
    app = None if party is None or rng.random() < 0.5 else App(org=rng.choice(ORGS), name=rng.choice(NAMES))
    instance = guid(rng.randrange(1, 6)) if app else None
    resource = rng.choice([*OTHER_RESOURCES, None])
    source = f"https://x/other/{sequence}"
    if app:
        resource = f"urn:altinn:resource:app_{app.org}_{app.name}"
        source = f"https://x/{app.org}/{app.name}/instances/{party}/{instance}"
    said = Said(sequence, rng.choice(TYPES), source, party, resource, app, instance)
    body = msgspec.json.encode({"id": str(sequence), "source": source, "type": said.type})
    event = Event(
        identity=Identity(source=source, id=str(sequence)),
        type=said.type,
        subject=rng.choice([None, "/case/7"]) if party is None else f"/party/{party}",
        app=app,
        instance=instance,
        resource=resource,
        content=b"",
        body=body,
    )
    return Entry(sequence=sequence, time=sequence * STEP, write_id="m", event=event), said


def written(world: World, folder: Path) -> tuple[Path, Path]:
    """The files of register and policies."""
    register, policies = folder / "register.json", folder / "policies.cedar"
    register.write_bytes(world.register)
    usual = files("eventfeed.access").joinpath("policies.cedar").read_text()
    policies.write_text(usual + _MORE_POLICIES * world.more)
    return register, policies


def readable(said: Said, asker: Asker, *, more: bool) -> bool:
    """Whether the policies let this asker read the entry, decided by hand."""
    if said.resource is None or (more and said.app is not None and said.app.name == CLOSED_APP):
        return False
    if more and said.resource == OPEN_RESOURCE and said.party is None:
        return asker.known
    return said.party in asker.parties and asker.principal.level >= 3
