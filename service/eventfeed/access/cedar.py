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


def policies_file(path: Path | None) -> WatchedFile[cedarpy.PolicySet]:
    """A file of Cedar policies, or those that come with the service. Raises `SettingsError` when it is wrong."""
    bundled = files(__package__).joinpath("policies.cedar")
    return WatchedFile("EVENTFEED_POLICIES", path, bundled=bundled, read=_policies)


class CedarDecisionPoint:
    """A `DecisionPoint` that evaluates policies. Whoever the register does not know may read nothing."""

    def __init__(self, population: WatchedFile[Population], policies: WatchedFile[cedarpy.PolicySet]) -> None:
        self._population, self._policies = population, policies
        self._known: Population | None = None
        self._entities = _entities(())

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`."""
        policies, population = await self._policies.current(), await self._population.current()
        if population is not self._known:
            self._entities, self._known = _entities([*population.organisations, *population.people]), population
        if (who := _principal(principal)) is None:
            return frozenset()
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


def _entities(entries: Sequence[OrganisationEntry | PersonEntry]) -> cedarpy.Entities:
    return cedarpy.Entities.from_json_str(msgspec.json.encode([_entity(entry) for entry in entries]).decode())


def _entity(entry: OrganisationEntry | PersonEntry) -> Entity:
    attributes: dict[str, object] = {"parties": [_party(party) for party in (entry.party, *entry.acts_for)]}
    if isinstance(entry, PersonEntry):
        return {"uid": _uid("User", entry.user), "attrs": attributes, "parents": []}
    if entry.org is not None:
        attributes["org"] = entry.org
    return {"uid": _uid("Organisation", entry.number), "attrs": attributes, "parents": []}


def _principal(principal: Principal) -> Entity | None:
    """Who is asking, as the policies name them."""
    if principal.user is not None:
        return _uid("User", principal.user)
    return None if principal.organisation is None else _uid("Organisation", principal.organisation)


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


def _uid(kind: str, name: str) -> Entity:
    return {"type": kind, "id": name}
