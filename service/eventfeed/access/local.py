"""The register as a local file: organisations and people, read once at start-up."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from eventfeed.domain.ports import Organisation
from eventfeed.settings import SettingsError

OrganisationNumber = Annotated[str, Meta(pattern="^[0-9]{9}$")]
PersonNumber = Annotated[str, Meta(pattern="^[0-9]{11}$")]
PartyId = Annotated[str, Meta(pattern="^[1-9][0-9]{0,17}$")]
# A short name stands in paths and resource names, where `_` separates.
ShortName = Annotated[str, Meta(pattern="^[A-Za-z0-9-]+$")]


class OrganisationEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation; `org` is the short name of one that owns apps."""

    number: OrganisationNumber
    party: PartyId
    name: str
    org: ShortName | None = None


class PersonEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person."""

    number: PersonNumber
    party: PartyId
    name: str


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
        name = str(path) if path else "the development population"
        try:
            text = path.read_bytes() if path else files(__package__).joinpath("population.json").read_bytes()
            population = msgspec.json.decode(text, type=Population)
        except OSError as failure:
            raise SettingsError(f"EVENTFEED_REGISTER={name}: cannot be read: {failure.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as failure:
            raise SettingsError(f"EVENTFEED_REGISTER={name}: {failure}") from None
        if twice := list(_twice(population)):
            raise SettingsError("\n".join(f"EVENTFEED_REGISTER={name}: {each}" for each in twice))
        return cls(population)

    async def organisation(self, number: str) -> Organisation | None:
        """See `Register.organisation`."""
        return self._organisations.get(number)

    async def party_of_person(self, number: str) -> str | None:
        """See `Register.party_of_person`."""
        return self._people.get(number)


def _twice(population: Population) -> Iterator[str]:
    """What must be given once and is not. Person numbers are not repeated in what is told."""
    organisations, people = population.organisations, population.people
    for number in _repeated(entry.number for entry in organisations):
        yield f"organisation {number} stands there twice; keep one"
    for name in _repeated(entry.org for entry in organisations if entry.org):
        yield f"the short name {name} is given to two organisations; keep one"
    if any(_repeated(entry.number for entry in people)):
        yield "two people have the same number; correct one"
    for party in _repeated([*(entry.party for entry in organisations), *(entry.party for entry in people)]):
        yield f"party {party} is given twice; correct one"


def _repeated(values: Iterable[str]) -> Sequence[str]:
    return [value for value, count in Counter(values).items() if count > 1]
