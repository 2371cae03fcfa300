"""The events of a log of any length. Each follows from its number, so that they need no memory."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

ORG = "ttd"
TYPE, RARE_TYPE = "instance.process.completed", "instance.rare"
# These parties have this many events each, at even distances over the whole log.
FIRST_PARTY, PARTIES, PARTY_EVENTS = 60_000_001, 20, 50
RARE_PARTY = 59_999_999
# The others have this many, one after another.
NEIGHBOURS = 10
FIRST_NEIGHBOUR = 50_000_000
# An event as its readers get it has some 500 bytes.
DATA = "x" * 75

# The names of the columns of `Event.row`, in its order.
COLUMNS = (
    "sequence, time, mark, identity_digest, content, id, source, type, subject, org, app, instance, resource, body"
)


class Event(NamedTuple):
    """An event of an app, and its position."""

    position: int
    id: str
    guid: str
    app: str
    party: int
    type: str

    @property
    def source(self) -> str:
        """The instance that it is about."""
        return f"https://{ORG}.apps.example.no/{ORG}/{self.app}/instances/{self.party}/{self.guid}"

    def as_sent(self) -> bytes:
        """Return the event as its app sends it."""
        return f"{{{self._attributes(self.source)}}}".encode()

    def row(self, *, time: int, moment: str) -> tuple[object, ...]:
        """Return the event as the store keeps it, registered at `time` (µs), which is `moment` in its JSON."""
        source, subject = self.source, f"/party/{self.party}"
        resource = f"urn:altinn:resource:app_{ORG}_{self.app}"
        # The service compares repeated events by their members in the order of the alphabet.
        content = (
            f'{{"data":"{DATA}","id":"{self.id}","source":"{source}","specversion":"1.0",'
            f'"subject":"{subject}","type":"{self.type}"}}'
        )
        body = (
            f'{{{self._attributes(source)},"time":"{moment}","resource":"{resource}",'
            f'"resourceinstance":"{self.party}/{self.guid}"}}'
        )
        # An entry with an id of its own has no digest of its identity.
        keys = (self.position, time, self.guid, b"", hashlib.sha256(content.encode()).digest())
        fields = (self.id, source, self.type, subject, ORG, self.app, self.guid, resource)
        return (*keys, *fields, body.encode())

    def _attributes(self, source: str) -> str:
        return (
            f'"id":"{self.id}","source":"{source}","specversion":"1.0","type":"{self.type}",'
            f'"subject":"/party/{self.party}","data":"{DATA}"'
        )


class Series(NamedTuple):
    """A log of so many events of so many apps, registered at even distances from `start` to `end` (µs).

    One event in `rare_every` is of a type and a party of its own.
    """

    events: int
    apps: int
    rare_every: int
    start: int
    end: int

    def event(self, position: int) -> Event:
        """Return the event at a position."""
        digest = hashlib.sha256(b"%d" % position).hexdigest()
        id_, guid = _guid(digest[:32]), _guid(digest[32:])
        if position % self.rare_every == self.rare_every // 2 + 1:  # never that of an event at an even distance
            return Event(position, id_, guid, "app-0", RARE_PARTY, RARE_TYPE)
        distance = self.events // (PARTIES * PARTY_EVENTS)
        index, rest = divmod(position, distance)
        party = FIRST_NEIGHBOUR + position // NEIGHBOURS if rest else FIRST_PARTY + index % PARTIES
        return Event(position, id_, guid, f"app-{int(digest[:8], 16) % self.apps}", party, TYPE)

    def time(self, position: int) -> int:
        """Return the registration time of a position (µs)."""
        return self.start + (self.end - self.start) * position // self.events

    def rows(self, *, moment: str) -> Iterator[Sequence[object]]:
        """Yield all rows in order."""
        for position in range(1, self.events + 1):
            yield self.event(position).row(time=self.time(position), moment=moment)


def _guid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
