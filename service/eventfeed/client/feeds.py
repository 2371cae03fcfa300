"""Which feed is read, and with which filters."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode

import msgspec


class Feed(NamedTuple):
    """A feed: its path, and its filters by the names that the service knows; `posted` when they travel in a body.

    A person number is only ever in a body.
    """

    path: str
    filters: Sequence[tuple[str, str]] = ()
    posted: bool = False

    def __str__(self) -> str:
        """What tells it from other feeds."""
        return f"{self.path} {' '.join(f'{name}={value}' for name, value in self.filters)}".strip()

    @property
    def method(self) -> str:
        """How it is asked for."""
        return "POST" if self.posted else "GET"

    def target(self, place: Sequence[tuple[str, str]]) -> str:
        """Path and query of a page at a place."""
        return f"{self.path}?{urlencode([*place, *(() if self.posted else self.filters)])}"

    def content(self) -> bytes:
        """What is sent with it."""
        if not self.posted:
            return b""
        body: dict[str, str | list[str]] = {name: value for name, value in self.filters if name != "eventType"}
        if types := [value for name, value in self.filters if name == "eventType"]:
            body["eventType"] = types
        return msgspec.json.encode(body)


def app_feed(org: str, app: str, *, types: Sequence[str] = (), **filters: str | None) -> Feed:
    """The events of an app. Filters: `source` (a prefix), `party`, `since` (RFC 3339)."""
    return Feed(f"/events/api/v1/app/{quote(org, safe='')}/{quote(app, safe='')}", _filters(types, filters))


def party_feed(*, types: Sequence[str] = (), **filters: str | None) -> Feed:
    """The events of a party: `party` (its id), `unit` (9 digits) or `person` (11 digits); `source`, `since`."""
    return Feed("/events/api/v1/party", _filters(types, filters), posted=True)


def instance_feed(instance: str, *, types: Sequence[str] = (), since: str | None = None) -> Feed:
    """What anyone may see of an instance, by `{partyId}/{guid}` or the guid alone. Needs no token."""
    path = f"/events/instanceeventsforinstance/{quote(instance.strip('/'))}"
    return Feed(path, _filters(types, {"since": since}), posted=True)


def reportee_feed(types: Sequence[str], **filters: str | None) -> Feed:
    """The events of every party, of these types. Filters: `source`, `party`, `since`."""
    return Feed("/events/api/v1/reportees", _filters(types, filters))


def resource_feed(resource: str, *, types: Sequence[str] = (), **filters: str | None) -> Feed:
    """The events of a resource, by its URN. Filters: `source`, `party`, `since`."""
    return Feed("/events/api/v1/events", [("resource", resource), *_filters(types, filters)])


def _filters(types: Sequence[str], named: Mapping[str, object]) -> Sequence[tuple[str, str]]:
    chosen = [("from" if name == "since" else name, str(value)) for name, value in named.items() if value is not None]
    return [*chosen, *(("eventType", each) for each in types)]
