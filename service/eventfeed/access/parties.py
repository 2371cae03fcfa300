"""Parties of events that name them by another number than the party id: the register knows them."""

import asyncio
import time
from collections.abc import Callable, Sequence

from cachetools import TLRUCache
from msgspec.structs import replace

from eventfeed.domain.event import Event
from eventfeed.domain.party import PREFIX, PartyName, parse_party
from eventfeed.domain.ports import Register

# Numbers and party ids belong together for good; the register may learn of a new one at any time.
KNOWN_SECONDS = 3_600.0
UNKNOWN_SECONDS = 60.0
# Some 200 bytes each.
CACHE_PARTIES_MAX = 20_000


class Parties:
    """Parties of events, from a register whose answers are cached."""

    def __init__(self, register: Register, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._register = register
        self._cache = TLRUCache[PartyName, str | None, float](CACHE_PARTIES_MAX, _expiry, timer=clock)

    async def resolve(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events, each with its party as subject if that names one the register knows.

        Raises `Unavailable` if the register does not respond for any of them.
        """
        names = {event.subject: name for event in events if event.subject and (name := parse_party(event.subject))}
        unique = list(set(names.values()))
        parties = dict(zip(unique, await asyncio.gather(*map(self._party, unique)), strict=True))
        subjects = {subject: party for subject, name in names.items() if (party := parties[name])}
        return [
            replace(event, subject=f"{PREFIX}{subjects[event.subject]}") if event.subject in subjects else event
            for event in events
        ]

    async def subject(self, subject: str) -> str:
        """Return the subject of the party that this one names, else the same. Raises `Unavailable` like `resolve`."""
        name = parse_party(subject)
        party = None if name is None else await self._party(name)
        return subject if party is None else f"{PREFIX}{party}"

    async def _party(self, name: PartyName) -> str | None:
        try:
            return self._cache[name]
        except KeyError:
            party = self._cache[name] = await self._look_up(name)
            return party

    async def _look_up(self, name: PartyName) -> str | None:
        match name.kind:
            case "party":
                return name.value
            case "uuid":
                return await self._register.party(name.value)
            case "organisation":
                organisation = await self._register.organisation(name.value)
                return organisation.party if organisation else None
            case "person":
                person = await self._register.person(name.value)
                return person.party if person else None


def _expiry(_: PartyName, party: str | None, now: float) -> float:
    return now + (UNKNOWN_SECONDS if party is None else KNOWN_SECONDS)
