"""Parties of events: found in the register once, for a while."""

from collections.abc import Set as AbstractSet

import pytest
from msgspec.structs import replace

from eventfeed.access.parties import KNOWN_SECONDS, UNKNOWN_SECONDS, Parties
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.event import Event
from eventfeed.domain.ports import Organisation, Person
from tests.support.events import event

SUBJECTS = ["/organisation/310000011", "310000011", "/person/01838012345", "urn:altinn:party:id:7", "/case/7", None]
PARTIES = ["/party/51000011", "/party/51000011", "/party/50000001", "/party/7", "/case/7", None]


class CountingRegister:
    """A register with one organisation and one person that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_up = True

    async def organisation(self, number: str) -> Organisation | None:
        """Return the bakery."""
        self._count()
        return Organisation(number=number, party="51000011") if number == "310000011" else None

    async def person(self, number: str) -> Person | None:
        """Return Kari."""
        self._count()
        return Person(user="20000001", party="50000001") if number == "01838012345" else None

    async def party(self, uuid: str) -> str | None:
        """Return no party."""
        self._count()
        return uuid[:0] or None

    async def subunits(self, party: str | None) -> AbstractSet[str]:
        """Return no sub-units."""
        return {party} - {party} if party else frozenset()

    def _count(self) -> None:
        self.calls += 1
        if not self.is_up:
            raise Unavailable("The register does not respond.")


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time (s)."""
        return self.now


def about(*subjects: str | None) -> list[Event]:
    """Events with these subjects."""
    return [replace(event(), subject=subject) for subject in subjects]


async def test_events_get_the_party_of_their_subject() -> None:
    """The register gets each number once, however many events of a request have it."""
    register = CountingRegister()
    events = await Parties(register).resolve(about(*SUBJECTS))

    assert PARTIES == [each.subject for each in events]
    assert 2 == register.calls


async def test_events_with_party_ids_need_no_register() -> None:
    """Nearly all events of apps are such."""
    register, events = CountingRegister(), about("/party/1", None)

    assert events == await Parties(register).resolve(events)
    assert 0 == register.calls


@pytest.mark.parametrize(
    ("subject", "seconds"),
    [("310000011", KNOWN_SECONDS), ("310000012", UNKNOWN_SECONDS), ("urn:altinn:party:uuid:" + "a" * 8, None)],
)
async def test_answers_of_the_register_are_cached(subject: str, seconds: float | None) -> None:
    """An unknown number is looked up again after a minute, a known one after an hour."""
    register, clock = CountingRegister(), Clock()
    parties = Parties(register, clock=clock)
    calls = list[int]()
    for now in (0.0, (seconds or 1) - 1, (seconds or 1) + 1):
        clock.now = now
        await parties.resolve(about(subject))
        calls.append(register.calls)

    assert ([1, 1, 2] if seconds else [0, 0, 0]) == calls


async def test_register_that_does_not_respond_fails_the_whole_request() -> None:
    """The failure is not cached."""
    register = CountingRegister()
    register.is_up = False
    parties = Parties(register)
    with pytest.raises(Unavailable):
        await parties.resolve(about("/party/1", "310000011"))
    register.is_up = True

    assert ["/party/51000011"] == [each.subject for each in await parties.resolve(about("310000011"))]
