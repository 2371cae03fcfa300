"""The register as a local file: organisations and people, who may act for whom, and the first approvals."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from eventfeed.access.watched_file import WatchedFile
from eventfeed.domain.approval import APPROVAL_TYPES_MAX, Approval
from eventfeed.domain.ports import Organisation, Person

OrganisationNumber = Annotated[str, Meta(pattern=r"^[0-9]{9}\Z")]
PersonNumber = Annotated[str, Meta(pattern=r"^[0-9]{11}\Z")]
# At most 18 digits fit a 64-bit number, which is what a platform token says of a party.
PartyId = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}\Z")]
UserId = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}\Z")]
# A short name stands in paths and resource names, where `_` separates.
ShortName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]+\Z")]

# Wherever it stands in a bad file, a person number is not repeated in what is told of it.
_MAYBE_PERSON = re.compile(r"[0-9]{11,}")


class OrganisationEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation; `org` is the short name of one that owns apps, `acts_for` the parties it may act for."""

    number: OrganisationNumber
    party: PartyId
    name: str
    org: ShortName | None = None
    acts_for: Sequence[PartyId] = ()


class PersonEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person, known to the platform as a user; `acts_for` the parties they may act for besides their own."""

    number: PersonNumber
    party: PartyId
    user: UserId
    name: str
    acts_for: Sequence[PartyId] = ()


class ApprovalEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an organisation is approved for in the beginning, until somebody decides otherwise."""

    organisation: OrganisationNumber
    types: Annotated[Sequence[str], Meta(min_length=1, max_length=APPROVAL_TYPES_MAX)]
    valid_to: datetime
    reason: str


class Population(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everybody the file knows."""

    organisations: Sequence[OrganisationEntry]
    people: Sequence[PersonEntry]
    approvals: Sequence[ApprovalEntry] = ()

    def first_approvals(self) -> Iterator[Approval]:
        """What is approved until somebody decides otherwise."""
        for entry in self.approvals:
            valid_to = int(entry.valid_to.timestamp()) * 1_000_000
            yield Approval(organisation=entry.organisation, types=entry.types, valid_to=valid_to, reason=entry.reason)


def population_file(path: Path | None) -> WatchedFile[Population]:
    """A register file, or the development population. Raises `SettingsError` that tells where it is wrong."""
    bundled = files(__package__).joinpath("population.json")
    return WatchedFile("EVENTFEED_REGISTER", path, bundled=bundled, read=_population)


class LocalRegister:
    """A `Register` that knows the population of a file."""

    def __init__(self, file: WatchedFile[Population]) -> None:
        self._file = file
        self._known: Population | None = None
        self._organisations: Mapping[str, Organisation] = {}
        self._people: Mapping[str, Person] = {}

    async def organisation(self, number: str) -> Organisation | None:
        """See `Register.organisation`."""
        await self._learn()
        return self._organisations.get(number)

    async def person(self, number: str) -> Person | None:
        """See `Register.person`."""
        await self._learn()
        return self._people.get(number)

    async def _learn(self) -> None:
        population = await self._file.current()
        if population is not self._known:
            self._organisations = {
                entry.number: Organisation(number=entry.number, party=entry.party, org=entry.org)
                for entry in population.organisations
            }
            self._people = {entry.number: Person(user=entry.user, party=entry.party) for entry in population.people}
            self._known = population


def _population(text: bytes) -> Population:
    """The population that a file describes. Raises `ValueError` that names everything wrong."""
    try:
        population = msgspec.json.decode(text, type=Population)
    except (msgspec.DecodeError, UnicodeDecodeError) as failure:
        raise ValueError(f"{_safe(str(failure))}; correct the file") from None
    if faults := list(_contradictions(population)):
        raise ValueError("\n".join(map(_safe, faults)))
    return population


def _contradictions(population: Population) -> Iterator[str]:
    """What must be given once and is not, and who acts for nobody."""
    organisations, people = population.organisations, population.people
    everybody: Sequence[OrganisationEntry | PersonEntry] = [*organisations, *people]
    parties = [entry.party for entry in everybody]
    for number in _repeated(entry.number for entry in organisations):
        yield f"organisation {number} stands there twice; keep one"
    for name in _repeated(entry.org for entry in organisations if entry.org):
        yield f"the short name {name} is given to two organisations; keep one"
    for _ in _repeated(entry.number for entry in people):
        yield "two people have the same number; correct one"
    for user in _repeated(entry.user for entry in people):
        yield f"user {user} is given twice; correct one"
    for party in _repeated(parties):
        yield f"party {party} is given twice; correct one"
    for number in _repeated(entry.organisation for entry in population.approvals):
        yield f"organisation {number} has two approvals; keep one"
    for party in sorted({*chain.from_iterable(entry.acts_for for entry in everybody)} - {*parties}):
        yield f"someone acts for party {party}, which does not exist; add it or remove the right"


def _repeated(values: Iterable[str]) -> Sequence[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def _safe(text: str) -> str:
    return _MAYBE_PERSON.sub("(digits)", text)
