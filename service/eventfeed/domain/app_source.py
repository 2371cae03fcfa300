"""App, instance and party of an event, as its `source` and `resource` name them (contract section 3)."""

import functools
import re
from urllib.parse import unquote, urlsplit

import msgspec

from eventfeed.domain.event import App, Event
from eventfeed.domain.uri import is_https_url

RESOURCE_APP_PREFIX = "urn:altinn:resource:app_"

# Bounded, so that the resource of an app is short enough for a decision point.
_ORG, _NAME = r"(?P<org>[A-Za-z0-9-]{1,200})", r"(?P<name>[A-Za-z0-9._-]{1,200})"
_GUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_APP = re.compile(f"{_ORG}/{_NAME}")
# A party id has at most 10 digits: a person number has 11.
_PATH = rf"{_ORG}/{_NAME}/instances/(?P<party>[0-9]{{1,10}})/(?P<guid>{_GUID})"
# Of an https URL.
_SOURCE = re.compile(rf"(?i:https)://[^/?#]+/{_PATH}", re.ASCII)
# The spelling of nearly all sources of apps: no other grammar is needed.
_PLAIN_SOURCE = re.compile(rf"https://[a-z0-9-]+(?:\.[a-z0-9-]+)*/(?![^/]*/\.{{1,2}}/){_PATH}")
_APP_LIKE = re.compile(r"/[^/]*/[^/]*/instances(?:/|\Z)", re.IGNORECASE)
APP_RESOURCE = re.compile(f"{re.escape(RESOURCE_APP_PREFIX)}{_ORG}_{_NAME}")
_INSTANCE = re.compile(rf"(?P<party>[0-9]+)/(?P<guid>{_GUID})")
PARTY_SUBJECT = re.compile(r"/party/[0-9]{1,18}")
# Several functions read the source of one event, one after the other.
_SOURCES_MAX = 256
# The same apps are read again and again.
_APPS_MAX = 1_024


class AppSource(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an app's source, and what they imply.

    `instance` is the guid in lower case, `resource` the one that rights are given for, and `resourceinstance` the
    instance as `{partyId}/{instanceGuid}`.
    """

    app: App
    party: str
    instance: str
    resource: str
    resourceinstance: str


class _Instance(msgspec.Struct, frozen=True, kw_only=True):
    resourceinstance: str | None = None


@functools.lru_cache(maxsize=_SOURCES_MAX)
def parse_app_source(source: str) -> AppSource | None:
    """Parse `https://{host}/{org}/{app}/instances/{partyId}/{instanceGuid}`; None for any other source."""
    match = _PLAIN_SOURCE.fullmatch(source) or (_SOURCE.fullmatch(source) if is_https_url(source) else None)
    if match is None:
        return None
    org, name, party, guid = match["org"], match["name"], match["party"], match["guid"]
    return AppSource(
        app=App(org=org, name=name),
        party=party,
        instance=guid.lower(),
        resource=f"{RESOURCE_APP_PREFIX}{org}_{name}",
        resourceinstance=f"{party}/{guid}",
    )


@functools.lru_cache(maxsize=_APPS_MAX)
def parse_app(org: str, name: str) -> App | None:
    """Return the app with these names; None if they are not valid names."""
    return App(org=org, name=name) if _APP.fullmatch(f"{org}/{name}") else None


def app_of(resource: str | None) -> App | None:
    """Return the app that a resource names."""
    match = APP_RESOURCE.fullmatch(resource or "")
    return App(org=match["org"], name=match["name"]) if match else None


def instance_of(resourceinstance: str | None) -> str | None:
    """Return the guid, in lower case, of an instance."""
    match = _INSTANCE.fullmatch(resourceinstance or "")
    return match["guid"].lower() if match else None


def party_of_instance(event: Event) -> str | None:
    """Return the party before the guid in an event's instance."""
    if app_source := parse_app_source(event.identity.source):
        return app_source.party
    match = _INSTANCE.fullmatch(msgspec.json.decode(event.body, type=_Instance).resourceinstance or "")
    return match["party"] if match else None


def party_of_subject(subject: str | None) -> str | None:
    """Return the party id of a subject `/party/{partyId}`."""
    return subject.removeprefix("/party/") if subject and PARTY_SUBJECT.fullmatch(subject) else None


def resembles_app_source(source: str) -> bool:
    """True if a valid source has the path of an app's instances, in whatever spelling."""
    return bool(_APP_LIKE.match(unquote(urlsplit(source).path)))


def org_of_source(source: str) -> str:
    """Return the organisation that a valid source belongs to: the first segment of its path."""
    if app_source := parse_app_source(source):
        return app_source.app.org
    return urlsplit(source).path.removeprefix("/").partition("/")[0]


def may_publish(org: str | None, *, source: str, app: App) -> bool:
    """True if a publisher of `org` may send this event of an app: app and first segment of the source are its own."""
    return app.org == org and org_of_source(source) == org
