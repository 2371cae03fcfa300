"""A random world: people and organisations with rights, and a log of events about them."""

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


# The additional policies of some worlds: no caller may read events of app `b`, and every caller may read events of the
# resource `urn:nsb:train` that have no party.
CLOSED_APP, OPEN_RESOURCE = "b", "urn:nsb:train"
_MORE_POLICIES = f"""
forbid (principal, action, resource) when {{ context has app && context.app == "{CLOSED_APP}" }};
permit (principal, action == Action::"subscribe", resource == Resource::"{OPEN_RESOURCE}")
unless {{ context has party }};
"""


class Facts(NamedTuple):
    """The attributes of an entry, independent of the product's own code."""

    sequence: int
    type: str
    source: str
    party: str | None
    resource: str | None
    app: App | None
    guid: str | None


class Caller(NamedTuple):
    """A caller, and the parties whose events it may read. A stranger is not in the register."""

    principal: Principal
    parties: frozenset[str]
    is_stranger: bool = False


class World(NamedTuple):
    """The register, the callers and the log. `has_more_policies`: the additional policies hold."""

    register: bytes
    has_more_policies: bool
    callers: Sequence[Caller]
    entries: Sequence[Entry]
    facts: Sequence[Facts]


def random_world(rng: random.Random) -> World:
    """Create a world. The entry of sequence N is registered N seconds after 1970."""
    people = [_person(rng, index) for index in range(2)]
    organisations = [_organisation(rng, index) for index in range(2, 4)]
    system_users = [_system_user(rng, number, rng.choice([2, 3])) for number in range(2)]
    pairs = [_entry(rng, sequence) for sequence in range(1, rng.randrange(90) + 1)]
    records = [*people, *organisations, *system_users]
    callers = [_caller(rng, record, rng.randrange(5)) for record in records for _ in range(2)]
    stranger = _principal(rng.randrange(5), organisation="310009999")
    # No caller acts for the last party.
    unread_organisation = {"number": "310009998", "party": PARTIES[4], "name": "310009998"}
    return World(
        register=msgspec.json.encode(
            {
                "organisations": [*organisations, unread_organisation],
                "people": people,
                "system_users": system_users,
            }
        ),
        has_more_policies=rng.random() < 0.6,
        callers=[*callers, Caller(stranger, frozenset(), is_stranger=True)],
        entries=[entry for entry, _ in pairs],
        facts=[facts for _, facts in pairs],
    )


def _person(rng: random.Random, index: int) -> dict[str, object]:
    number, user = f"{index + 1:02}838012345", str(20000001 + index)
    return {"number": number, "user": user, "party": PARTIES[index], "name": user, "acts_for": _others(rng, index)}


def _organisation(rng: random.Random, index: int) -> dict[str, object]:
    number = str(310000001 + index)
    return {"number": number, "party": PARTIES[index], "name": number, "acts_for": _others(rng, index)}


def _system_user(rng: random.Random, number: int, index: int) -> dict[str, object]:
    """Create a system user of the organisation of an index. It does not act for the parties of that organisation."""
    uuid, organisation = f"7b2e0a4c-5d3f-4c66-9a51-9a{number:010}", str(310000001 + index)
    return {"uuid": uuid, "organisation": organisation, "name": uuid, "acts_for": _others(rng, index)}


def _others(rng: random.Random, index: int) -> Sequence[str]:
    return [party for party in PARTIES if party != PARTIES[index] and rng.random() < 0.3]


def _caller(rng: random.Random, record: Mapping[str, object], level: int) -> Caller:
    acts_for = msgspec.convert(record["acts_for"], list[str])
    # A system user has the party of its organisation.
    own_party = str(record["party"]) if "party" in record else PARTIES[int(str(record["organisation"])) - 310000001]
    parties = frozenset([own_party, *acts_for])
    keys = {"user": "user", "uuid": "system_user", "number": "organisation"}
    # People have a number too, and first a user.
    names = next({name: str(record[key])} for key, name in keys.items() if key in record)
    # At least half of the callers have the highest level, so that many events are readable.
    return Caller(_principal(level if rng.random() < 0.5 else 4, **names), parties)


def _principal(level: int, **names: str) -> Principal:
    method = Method.ID_PORTEN if "user" in names else Method.MASKINPORTEN
    return Principal(method=method, level=level, scopes=frozenset(), token=b"", expires=2**40, **names)


def _entry(rng: random.Random, sequence: int) -> tuple[Entry, Facts]:
    party = rng.choice([*PARTIES, None, None])
    app = None if party is None or rng.random() < 0.5 else App(org=rng.choice(ORGS), name=rng.choice(NAMES))
    instance = guid(rng.randrange(1, 6)) if app else None
    resource = rng.choice([*OTHER_RESOURCES, None])
    source = f"https://x/other/{sequence}"
    if app:
        resource = f"urn:altinn:resource:app_{app.org}_{app.name}"
        source = f"https://x/{app.org}/{app.name}/instances/{party}/{instance}"
    facts = Facts(sequence, rng.choice(TYPES), source, party, resource, app, instance)
    event = Event(
        identity=Identity(source=source, id=str(sequence)),
        type=facts.type,
        subject=rng.choice([None, "/case/7"]) if party is None else f"/party/{party}",
        app=app,
        instance=instance,
        resource=resource,
        content=b"",
        body=msgspec.json.encode({"id": str(sequence), "source": source, "type": facts.type}),
    )
    return Entry(sequence=sequence, time=sequence * STEP, write_id="m", event=event), facts


def write_files(world: World, folder: Path) -> tuple[Path, Path]:
    """Write the files of register and policies, and return their paths."""
    register, policies = folder / "register.json", folder / "policies.cedar"
    register.write_bytes(world.register)
    default_policies = files("eventfeed.access").joinpath("policies.cedar").read_text()
    policies.write_text(default_policies + _MORE_POLICIES * world.has_more_policies)
    return register, policies


def is_readable(facts: Facts, caller: Caller, *, has_more_policies: bool) -> bool:
    """True if the policies permit this caller to read the entry, by the rules of this test."""
    if facts.resource is None or (has_more_policies and facts.app is not None and facts.app.name == CLOSED_APP):
        return False
    if has_more_policies and facts.resource == OPEN_RESOURCE and facts.party is None:
        return not caller.is_stranger
    return facts.party in caller.parties and caller.principal.level >= 3
