"""The register as a local file: organisations and their units, people, system users, rights, and first approvals."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from eventfeed.access.file_faults import file_fault
from eventfeed.access.register_values import FORMS, OrganisationNumber, PartyId, PersonNumber, ShortName, UserId, Uuid
from eventfeed.access.watched_file import WatchedFile
from eventfeed.domain.app_source import RESOURCE_APP_PREFIX
from eventfeed.domain.approval import APPROVAL_TYPES_MAX, Approval
from eventfeed.domain.ports import Organisation, Person
from eventfeed.domain.uri import RESOURCE_LENGTH_MAX, is_urn

# A message about an invalid file never repeats a person number.
_MAYBE_PERSON = re.compile(r"[0-9]{11,}")


class OrganisationEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation: `org` is the short name if it owns apps, `acts_for` the parties it may act for."""

    number: OrganisationNumber
    party: PartyId
    name: str
    uuid: Uuid | None = None
    org: ShortName | None = None
    acts_for: Sequence[PartyId] = ()


class PersonEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person and their user of the platform: `acts_for` are the parties they may act for besides their own."""

    number: PersonNumber
    party: PartyId
    user: UserId
    name: str
    uuid: Uuid | None = None
    acts_for: Sequence[PartyId] = ()


class SystemUserEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A system user of an organisation: `acts_for` are the parties it may act for besides that organisation's."""

    uuid: Uuid
    organisation: OrganisationNumber
    name: str
    acts_for: Sequence[PartyId] = ()


class ApprovalEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first approval of an organisation, valid until it is replaced or withdrawn."""

    organisation: OrganisationNumber
    types: Annotated[Sequence[str], Meta(min_length=1, max_length=APPROVAL_TYPES_MAX)]
    valid_to: Annotated[datetime, Meta(tz=True)]
    reason: str


class ResourceEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A resource of no app, and the short name of the organisation that owns it."""

    resource: str
    owner: ShortName


class UnitEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sub-unit, and the unit that it belongs to: the numbers of two organisations."""

    organisation: OrganisationNumber
    parent: OrganisationNumber


class Population(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All entries of a file."""

    organisations: Sequence[OrganisationEntry]
    people: Sequence[PersonEntry]
    system_users: Sequence[SystemUserEntry] = ()
    units: Sequence[UnitEntry] = ()
    resources: Sequence[ResourceEntry] = ()
    approvals: Sequence[ApprovalEntry] = ()

    def first_approvals(self) -> Iterator[Approval]:
        """Yield the first approvals, which count until they are replaced or withdrawn."""
        for entry in self.approvals:
            valid_to = int(entry.valid_to.timestamp()) * 1_000_000
            yield Approval(organisation=entry.organisation, types=entry.types, valid_to=valid_to, reason=entry.reason)


def population_file(path: Path | None) -> WatchedFile[Population]:
    """Return the register file at `path`, or the development population. Raises `SettingsError` if it is invalid."""
    builtin = files(__package__).joinpath("population.json")
    return WatchedFile("EVENTFEED_REGISTER", path, builtin=builtin, parse=_population)


class LocalRegister:
    """A `Register` of the population of a file."""

    def __init__(self, file: WatchedFile[Population]) -> None:
        self._file = file
        # Made from this population.
        self._source: Population | None = None
        self._organisations: Mapping[str, Organisation] = {}
        self._people: Mapping[str, Person] = {}
        self._parties: Mapping[str | None, str] = {}
        # The parties directly below a unit's.
        self._subunits: Mapping[str | None, Sequence[str]] = {}

    async def organisation(self, number: str) -> Organisation | None:
        """See `Register.organisation`."""
        await self._refresh()
        return self._organisations.get(number)

    async def person(self, number: str) -> Person | None:
        """See `Register.person`."""
        await self._refresh()
        return self._people.get(number)

    async def party(self, uuid: str) -> str | None:
        """See `Register.party`."""
        await self._refresh()
        return self._parties.get(uuid)

    async def subunits(self, party: str | None) -> AbstractSet[str]:
        """See `Register.subunits`."""
        await self._refresh()
        parties, rest = set[str](), [*self._subunits.get(party, ())]
        while rest:
            parties.add(unit := rest.pop())
            rest += self._subunits.get(unit, ())
        return parties

    async def _refresh(self) -> None:
        population = await self._file.current()
        if population is not self._source:
            self._organisations = {
                entry.number: Organisation(number=entry.number, party=entry.party, org=entry.org)
                for entry in population.organisations
            }
            self._people = {entry.number: Person(user=entry.user, party=entry.party) for entry in population.people}
            entries: Sequence[OrganisationEntry | PersonEntry] = [*population.organisations, *population.people]
            self._parties = {entry.uuid: entry.party for entry in entries}
            self._subunits = _subunits(population)
            self._source = population


def _population(text: bytes) -> Population:
    """Parse a population. Raises `ValueError` with all faults."""
    try:
        population = msgspec.json.decode(text, type=Population)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
        raise ValueError(f"{_mask(file_fault(failure, FORMS))}; correct the file") from None
    contradictions = (_contradictions, _system_user_contradictions, _owner_contradictions, _unit_contradictions)
    if faults := [fault for find in contradictions for fault in find(population)]:
        raise ValueError("\n".join(map(_mask, faults)))
    return population


def _contradictions(population: Population) -> Iterator[str]:
    """Yield the values that must be unique and are not, and the rights for parties that do not exist."""
    organisations, people = population.organisations, population.people
    entries: Sequence[OrganisationEntry | PersonEntry] = [*organisations, *people]
    parties = [entry.party for entry in entries]
    for number in _duplicates(entry.number for entry in organisations):
        yield f"organisation {number} occurs twice; keep one"
    for name in _duplicates(entry.org for entry in organisations if entry.org):
        yield f"two organisations have the short name {name}; keep one"
    for _ in _duplicates(entry.number for entry in people):
        yield "two people have the same number; correct one"
    for user in _duplicates(entry.user for entry in people):
        yield f"user {user} occurs twice; correct one"
    for party in _duplicates(parties):
        yield f"party {party} occurs twice; correct one"
    for uuid in _duplicates(entry.uuid for entry in entries if entry.uuid):
        yield f"uuid {uuid} occurs twice; correct one"
    for number in _duplicates(entry.organisation for entry in population.approvals):
        yield f"organisation {number} has two approvals; keep one"
    acts_for = chain.from_iterable(entry.acts_for for entry in [*entries, *population.system_users])
    for party in sorted({*acts_for} - {*parties}):
        yield f"an entry acts for party {party}, which does not exist; add the party or remove the right"


def _system_user_contradictions(population: Population) -> Iterator[str]:
    """Yield the system users that are two, and those of an organisation that does not exist."""
    for uuid in _duplicates(entry.uuid for entry in population.system_users):
        yield f"system user {uuid} occurs twice; keep one"
    owners = {entry.organisation for entry in population.system_users}
    for number in sorted(owners - {entry.number for entry in population.organisations}):
        yield f"a system user belongs to organisation {number}, which does not exist; add the organisation"


def _owner_contradictions(population: Population) -> Iterator[str]:
    """Yield the resources of apps or of no event, those with two owners, and the owners that are no organisation."""
    for resource in (entry.resource for entry in population.resources):
        if resource.casefold().startswith(RESOURCE_APP_PREFIX):
            yield f"resource {resource!r} is that of an app, which belongs to the org in its name; remove the entry"
        elif not is_urn(resource):
            yield (
                f"resource {resource[:100]!r} is no URN (RFC 8141) of at most {RESOURCE_LENGTH_MAX} characters, "
                "such as urn:altinn:resource:broker; correct it"
            )
    for resource in _duplicates(entry.resource for entry in population.resources):
        yield f"resource {resource} occurs twice; keep one"
    for name in sorted(
        {entry.owner for entry in population.resources} - {each.org for each in population.organisations}
    ):
        yield f"a resource belongs to {name}, which is no organisation's short name; add the organisation"


def _unit_contradictions(population: Population) -> Iterator[str]:
    """Yield the units that do not exist, that have two parents, or that are below themselves."""
    units, numbers = population.units, {entry.number for entry in population.organisations}
    for number in sorted({each for entry in units for each in (entry.organisation, entry.parent)} - numbers):
        yield f"a unit names organisation {number}, which does not exist; add the organisation or remove the unit"
    for number in _duplicates(entry.organisation for entry in units):
        yield f"organisation {number} occurs twice in units; keep one"
    try:
        TopologicalSorter({entry.organisation: [entry.parent] for entry in units}).prepare()
    except CycleError as failure:
        yield f"organisation {failure.args[1][0]} is a unit below itself; correct its parent"


def _subunits(population: Population) -> Mapping[str | None, Sequence[str]]:
    parties = {entry.number: entry.party for entry in population.organisations}
    subunits = defaultdict[str | None, list[str]](list)
    for entry in population.units:
        subunits[parties[entry.parent]].append(parties[entry.organisation])
    return dict(subunits)


def _duplicates(values: Iterable[str]) -> Sequence[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def _mask(text: str) -> str:
    return _MAYBE_PERSON.sub("(digits)", text)
