"""Feeds and their filters."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode

import msgspec

# A boolean in a body, and `true` in a query.
_SUBUNITS = "includeSubunits"


class Feed(NamedTuple):
    """A feed: its path, and its filters with the service's names. A person number is only ever sent in a body."""

    path: str
    filters: Sequence[tuple[str, str]] = ()
    filters_in_body: bool = False

    def __str__(self) -> str:
        return f"{self.path} {' '.join(f'{name}={value}' for name, value in self.filters)}".strip()

    @property
    def method(self) -> str:
        """The HTTP method: POST if the filters are in the body."""
        return "POST" if self.filters_in_body else "GET"

    def target(self, parameters: Sequence[tuple[str, str]]) -> str:
        """Return path and query of a page, with these parameters and the filters."""
        return f"{self.path}?{urlencode([*parameters, *(() if self.filters_in_body else self.filters)])}"

    def content(self) -> bytes:
        """Return the body of the request."""
        if not self.filters_in_body:
            return b""
        members: dict[str, object] = {
            name: value == "true" if name == _SUBUNITS else value for name, value in self.filters
        }
        if types := [value for name, value in self.filters if name == "eventType"]:
            members["eventType"] = types
        return msgspec.json.encode(members)


def app_feed(org: str, app: str, *, types: Sequence[str] = (), **filters: str | None) -> Feed:
    """Return the feed of an app. Filters: `source` (a prefix), `party`, `since` (RFC 3339)."""
    return Feed(f"/events/api/v1/app/{quote(org, safe='')}/{quote(app, safe='')}", _filters(types, filters))


def party_feed(*, types: Sequence[str] = (), include_subunits: bool = False, **filters: str | None) -> Feed:
    """Return the feed of a party: `party` (its id), `unit` (9 digits) or `person` (11 digits); `source`, `since`.

    With `include_subunits` the sub-units of the party or unit are in it.
    """
    filters[_SUBUNITS] = "true" if include_subunits else None
    return Feed("/events/api/v1/party", _filters(types, filters), filters_in_body=True)


def instance_feed(instance: str, *, types: Sequence[str] = (), since: str | None = None) -> Feed:
    """Return the public feed of an instance, by `{partyId}/{guid}` or the guid alone. It needs no token."""
    path = f"/events/instanceeventsforinstance/{quote(instance.strip('/'))}"
    return Feed(path, _filters(types, {"since": since}), filters_in_body=True)


def reportee_feed(types: Sequence[str], **filters: str | None) -> Feed:
    """Return the feed of all parties, for these types. Filters: `source`, `party`, `since`."""
    return Feed("/events/api/v1/reportees", _filters(types, filters))


def resource_feed(
    resource: str, *, types: Sequence[str] = (), include_subunits: bool = False, **filters: str | None
) -> Feed:
    """Return the feed of a resource, by its URN. Filters: `source`, `party`, `unit`, `since`.

    With `include_subunits` the sub-units of the party or unit are in it.
    """
    filters[_SUBUNITS] = "true" if include_subunits else None
    return Feed("/events/api/v1/events", [("resource", resource), *_filters(types, filters)])


def _filters(types: Sequence[str], values: Mapping[str, object]) -> Sequence[tuple[str, str]]:
    filters = [("from" if name == "since" else name, str(value)) for name, value in values.items() if value is not None]
    return [*filters, *(("eventType", each) for each in types)]
