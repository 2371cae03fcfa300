"""Callers and their rights (contract sections 5 and 6)."""

import enum
import functools
from typing import ClassVar

import msgspec

from eventfeed.domain.errors import InsufficientScope
from eventfeed.domain.event import App

SCOPE_PUBLISH = "altinn:events.publish"
SCOPE_PUBLISH_ADMIN = "altinn:events.publish.admin"
SCOPE_REPORTEES = "altinn:events/reportees"
SCOPE_SUBSCRIBE = "altinn:events.subscribe"
SCOPE_ADMIN = "altinn:events.admin"


class Method(enum.Enum):
    """The provider that a platform token was exchanged from: `urn:altinn:authenticatemethod`."""

    MASKINPORTEN = "maskinporten"
    ID_PORTEN = "id-porten"


class Principal(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A caller, as its platform token describes it: whole scopes, and the numbers that the platform added.

    `organisation` is an organisation number (9 digits), `org` the short name the register knows it by, `user` and
    `party` the platform's ids, `level` the authentication level 0 to 4, `token` a digest of the token,
    `expires` its last second (Unix time). `system_user` is the uuid of a system user (lower case), which has the
    party of its organisation, but neither its number nor its short name.
    """

    method: Method
    level: int
    scopes: frozenset[str]
    token: bytes
    expires: int
    org: str | None = None
    organisation: str | None = None
    user: str | None = None
    party: str | None = None
    system_user: str | None = None

    # Every principal has a token.
    is_anonymous: ClassVar[bool] = False

    @functools.cached_property
    def caller(self) -> str:
        """The person, organisation or system user, the same for all of its tokens."""
        return f"{self.method.value} {self.user} {self.organisation} {self.system_user}"

    @functools.cached_property
    def rights(self) -> str:
        """Everything about the caller that decisions depend on, as one text."""
        return f"{self.caller} {self.party} {self.level} {' '.join(sorted(self.scopes))}"

    @functools.cached_property
    def is_publisher(self) -> bool:
        """True if the caller may publish: for its own org, or as an administrator for any."""
        return self.is_publish_admin or self.has(SCOPE_PUBLISH)

    @functools.cached_property
    def is_publish_admin(self) -> bool:
        """True if the caller may publish for any org."""
        return self.has(SCOPE_PUBLISH_ADMIN)

    def has(self, scope: str) -> bool:
        """True if the token has this scope, and Maskinporten granted it.

        The scopes of a system user were granted to the vendor of its system. Only one of them counts, since the
        decision point decides on each event that it lets the caller read.
        """
        is_granted = self.method is Method.MASKINPORTEN and scope in self.scopes
        return is_granted and (self.system_user is None or scope == SCOPE_SUBSCRIBE)


def require_app(principal: Principal, app: App) -> None:
    """Refuse a caller without the scope for this app or for all apps of its org."""
    scope = f"altinn:events/{app.org}/{app.name}"
    if not (principal.has(scope) or principal.has(f"altinn:events/{app.org}")):
        raise _refusal(principal, f"Reading this feed needs the scope {scope}.", scope=scope)


def require_scope(principal: Principal, scope: str) -> None:
    """Refuse a caller without this scope."""
    if not principal.has(scope):
        raise _refusal(principal, f"This needs the scope {scope}.", scope=scope)


def require_publisher(principal: Principal) -> None:
    """Refuse a caller that may not publish."""
    if not principal.is_publisher:
        raise _refusal(principal, f"Publishing needs the scope {SCOPE_PUBLISH}.", scope=SCOPE_PUBLISH)


def _refusal(principal: Principal, detail: str, *, scope: str) -> InsufficientScope:
    """Return the refusal of a caller without a scope."""
    if principal.system_user is not None and scope != SCOPE_SUBSCRIBE:
        detail = f"{detail} A system user has none of its vendor's scopes: use a token of the organisation itself."
    return InsufficientScope(detail, scope=scope)
