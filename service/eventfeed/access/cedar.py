"""The decision point in this process: Cedar policies over the register's file."""

import asyncio
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice

import cedarpy
import msgspec

from eventfeed.access.local import Population
from eventfeed.access.watched_file import WatchedFile
from eventfeed.domain.app_source import app_of
from eventfeed.domain.decision import Question
from eventfeed.domain.principal import Principal

# Decided without a pause: for some milliseconds the event loop does nothing else.
BATCH_QUESTIONS_MAX = 100

Entity = Mapping[str, object]
# The name of a principal in the policies: its type, and its user id, organisation number or uuid.
Name = tuple[str, str]


class CedarDecisionPoint:
    """A `DecisionPoint` that evaluates policies, and the `Relations` that they permit.

    A caller who is not in the register may do nothing. In development it is a caller with its own party alone.
    """

    def __init__(
        self,
        population: WatchedFile[Population],
        policies: WatchedFile[cedarpy.PolicySet],
        *,
        development: bool = False,
    ) -> None:
        self._population, self._policies, self._development = population, policies, development
        # Made from this population.
        self._source: Population | None = None
        self._entities = _entities({}, orgs={})
        # The parties of each caller: its own, and those that it may act for.
        self._acts_for: Mapping[Name, frozenset[str]] = {}
        self._owners: Mapping[str, str] = {}
        self._parties = frozenset[str]()

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`."""
        policies = await self._policies.current()
        await self._refresh()
        name, entities = _caller_name(principal), self._entities
        if name not in self._acts_for:
            if not self._development:
                return frozenset()
            entities = _entities({name: _own_party(principal)}, orgs={})
        caller, permits, rest = _uid(*name), set[Question](), iter(questions)
        while batch := list(islice(rest, BATCH_QUESTIONS_MAX)):
            requests = [self._request(caller, question, level=principal.level) for question in batch]
            results = cedarpy.is_authorized_batch(requests, policies, entities)
            permits |= {question for question, result in zip(batch, results, strict=True) if result.allowed}
            await asyncio.sleep(0)
        return permits

    async def with_relation(self, principal: Principal, parties: AbstractSet[str | None]) -> AbstractSet[str | None]:
        """See `Relations.with_relation`. The built-in policies permit a caller's parties, others perhaps more."""
        await self._refresh()
        if not self._policies.is_builtin:
            return parties
        unregistered = _own_party(principal) if self._development else frozenset[str]()
        return parties & self._acts_for.get(_caller_name(principal), unregistered)

    async def owns(self, principal: Principal, resource: str) -> bool:
        """See `Relations.owns`. In development each organisation with a short name owns the resources without owner."""
        await self._refresh()
        owner = self._owners.get(resource, principal.org if self._development else None)
        return principal.org is not None and principal.org == owner

    async def may_have_reader(self, resource: str, party: str | None) -> bool:
        """See `Relations.may_have_reader`. With the built-in policies only owners and parties read."""
        await self._refresh()
        is_open = self._development or not self._policies.is_builtin
        return is_open or resource in self._owners or party in self._parties

    async def _refresh(self) -> None:
        population = await self._population.current()
        if population is not self._source:
            self._acts_for = dict(_callers(population))
            orgs = {("Organisation", each.number): each.org for each in population.organisations if each.org}
            self._entities = _entities(self._acts_for, orgs=orgs)
            parties = [each.party for each in population.organisations]
            self._parties = frozenset((*parties, *(each.party for each in population.people)))
            self._owners = {entry.resource: entry.owner for entry in population.resources}
            self._source = population

    def _request(self, caller: Entity, question: Question, *, level: int) -> dict[str, object]:
        context: dict[str, object] = {"level": level, "development": self._development}
        # In development an unknown party is none: else only the owner would see such an event.
        if question.party is not None and not (self._development and question.party not in self._parties):
            context["party"] = _party(question.party)
        if app := app_of(question.resource):
            context |= {"org": app.org, "app": app.name}
        elif owner := self._owners.get(question.resource):
            context["org"] = owner
        return {
            "principal": caller,
            "action": _uid("Action", question.action),
            "resource": _uid("Resource", question.resource),
            "context": context,
        }


def _callers(population: Population) -> Iterator[tuple[Name, frozenset[str]]]:
    """Yield every caller in the register, with its own party and those that it may act for."""
    for organisation in population.organisations:
        yield ("Organisation", organisation.number), frozenset((organisation.party, *organisation.acts_for))
    for person in population.people:
        yield ("User", person.user), frozenset((person.party, *person.acts_for))
    parties = {each.number: each.party for each in population.organisations}
    for system_user in population.system_users:
        own = parties[system_user.organisation]
        yield ("SystemUser", system_user.uuid), frozenset((own, *system_user.acts_for))


def _entities(callers: Mapping[Name, AbstractSet[str]], *, orgs: Mapping[Name, str]) -> cedarpy.Entities:
    entities = [_entity(name, parties, org=orgs.get(name)) for name, parties in callers.items()]
    return cedarpy.Entities.from_json_str(msgspec.json.encode(entities).decode())


def _own_party(principal: Principal) -> frozenset[str]:
    return frozenset() if principal.party is None else frozenset((principal.party,))


def _caller_name(principal: Principal) -> Name:
    if principal.user is not None:
        return "User", principal.user
    if principal.system_user is not None:
        return "SystemUser", principal.system_user
    return "Organisation", principal.organisation or ""


def _entity(name: Name, parties: AbstractSet[str], *, org: str | None) -> Entity:
    attributes: dict[str, object] = {"parties": [_party(party) for party in parties]}
    if org is not None:
        attributes["org"] = org
    return {"uid": _uid(*name), "attrs": attributes, "parents": []}


def _party(party: str) -> Entity:
    return {"__entity": _uid("Party", party)}


def _uid(kind: str, name: str | None) -> Entity:
    return {"type": kind, "id": name}
