"""The register as a local file: organisations and people, read once at start-up."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from eventfeed.domain.ports import Organisation
from eventfeed.settings import SettingsError

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


class Population(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everybody the file knows."""

    organisations: Sequence[OrganisationEntry]
    people: Sequence[PersonEntry]


class LocalRegister:
    """A `Register` that knows a fixed population. Load it with `LocalRegister.load`."""

    def __init__(self, population: Population) -> None:
        self._organisations = {
            entry.number: Organisation(number=entry.number, party=entry.party, org=entry.org)
            for entry in population.organisations
        }
        self._people = {entry.number: entry.party for entry in population.people}

    @classmethod
    def load(cls, path: Path | None) -> "LocalRegister":
        """Read a file, or the development population. Raises `SettingsError` that tells where the file is wrong."""
        source = f"EVENTFEED_REGISTER={path or 'the development population'}"
        try:
            text = path.read_bytes() if path else files(__package__).joinpath("population.json").read_bytes()
            population = msgspec.json.decode(text, type=Population)
        except OSError as failure:
            raise SettingsError(f"{source}: cannot be read: {failure.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as failure:
            raise SettingsError(f"{source}: {_safe(str(failure))}; correct the file") from None
        if faults := list(_contradictions(population)):
            raise SettingsError("\n".join(f"{source}: {_safe(fault)}" for fault in faults))
        return cls(population)

    async def organisation(self, number: str) -> Organisation | None:
        """See `Register.organisation`."""
        return self._organisations.get(number)

    async def party_of_person(self, number: str) -> str | None:
        """See `Register.party_of_person`."""
        return self._people.get(number)


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
    for party in sorted({*chain.from_iterable(entry.acts_for for entry in everybody)} - {*parties}):
        yield f"someone acts for party {party}, which does not exist; add it or remove the right"


def _repeated(values: Iterable[str]) -> Sequence[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def _safe(text: str) -> str:
    return _MAYBE_PERSON.sub("(digits)", text)
