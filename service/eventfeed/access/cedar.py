"""The decision point in this process: Cedar policies over the register's file."""

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from importlib.resources import files
from itertools import islice
from pathlib import Path

import cedarpy
import msgspec

from eventfeed.access.local import OrganisationEntry, PersonEntry, Population
from eventfeed.access.watched_file import WatchedFile
from eventfeed.domain.event import app_of
from eventfeed.domain.feed import Question
from eventfeed.domain.principal import Principal

# Decided without a pause: some milliseconds, in which this process does nothing else.
BATCH_QUESTIONS_MAX = 100

Entity = Mapping[str, object]
Entry = OrganisationEntry | PersonEntry


def policies_file(path: Path | None) -> WatchedFile[cedarpy.PolicySet]:
    """A file of Cedar policies, or those that come with the service. Raises `SettingsError` when it is wrong."""
    bundled = files(__package__).joinpath("policies.cedar")
    return WatchedFile("EVENTFEED_POLICIES", path, bundled=bundled, read=_policies)


class CedarDecisionPoint:
    """A `DecisionPoint` that evaluates policies. Whoever the register does not know may read nothing."""

    def __init__(self, population: WatchedFile[Population], policies: WatchedFile[cedarpy.PolicySet]) -> None:
        self._population, self._policies = population, policies
        self._learnt: Population | None = None
        self._entities, self._known = _entities(()), frozenset[tuple[str, str]]()

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`."""
        policies, population = await self._policies.current(), await self._population.current()
        if population is not self._learnt:
            everybody: Sequence[Entry] = [*population.organisations, *population.people]
            self._entities, self._known = _entities(everybody), frozenset(map(_named, everybody))
            self._learnt = population
        named = ("Organisation", principal.organisation) if principal.user is None else ("User", principal.user)
        if named not in self._known:
            return frozenset()
        who = _uid(*named)
        allowed, left, entities = set[Question](), iter(questions), self._entities
        while batch := list(islice(left, BATCH_QUESTIONS_MAX)):
            requests = [_request(who, question, level=principal.level) for question in batch]
            results = cedarpy.is_authorized_batch(requests, policies, entities)
            allowed |= {question for question, result in zip(batch, results, strict=True) if result.allowed}
            await asyncio.sleep(0)
        return allowed


def _policies(text: bytes) -> cedarpy.PolicySet:
    """Policies that fit the schema. Raises `ValueError` that names each that does not."""
    source = text.decode()
    schema = files(__package__).joinpath("schema.cedarschema").read_text()
    policies = cedarpy.PolicySet.from_str(source)
    found = cedarpy.validate_policies(source, schema)
    if not found.validation_passed:
        raise ValueError("\n".join(f"{fault}; correct the policy" for fault in found.errors))
    return policies


def _entities(entries: Sequence[Entry]) -> cedarpy.Entities:
    return cedarpy.Entities.from_json_str(msgspec.json.encode([_entity(entry) for entry in entries]).decode())


def _named(entry: Entry) -> tuple[str, str]:
    """What the policies call an entry: its kind, and its user id or number."""
    return ("User", entry.user) if isinstance(entry, PersonEntry) else ("Organisation", entry.number)


def _entity(entry: Entry) -> Entity:
    attributes: dict[str, object] = {"parties": [_party(party) for party in (entry.party, *entry.acts_for)]}
    if isinstance(entry, OrganisationEntry) and entry.org is not None:
        attributes["org"] = entry.org
    return {"uid": _uid(*_named(entry)), "attrs": attributes, "parents": []}


def _request(who: Entity, question: Question, *, level: int) -> dict[str, object]:
    context: dict[str, object] = {"level": level}
    if question.party is not None:
        context["party"] = _party(question.party)
    if app := app_of("", question.resource):
        context |= {"org": app.org, "app": app.name}
    return {
        "principal": who,
        "action": _uid("Action", "read"),
        "resource": _uid("Resource", question.resource),
        "context": context,
    }


def _party(party: str) -> Entity:
    return {"__entity": _uid("Party", party)}


def _uid(kind: str, name: str | None) -> Entity:
    return {"type": kind, "id": name}
