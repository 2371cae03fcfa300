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
    `expires` its last second (Unix time).
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

    # Every principal has a token.
    is_anonymous: ClassVar[bool] = False

    @functools.cached_property
    def caller(self) -> str:
        """The person or organisation, the same for all of its tokens."""
        return f"{self.method.value} {self.user} {self.organisation}"

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
        """True if the token has this scope, and Maskinporten granted it."""
        return self.method is Method.MASKINPORTEN and scope in self.scopes


def require_app(principal: Principal, app: App) -> None:
    """Refuse a caller without the scope for this app or for all apps of its org."""
    scope = f"altinn:events/{app.org}/{app.name}"
    if not (principal.has(scope) or principal.has(f"altinn:events/{app.org}")):
        raise InsufficientScope(f"Reading this feed needs the scope {scope}.", scope=scope)


def require_scope(principal: Principal, scope: str) -> None:
    """Refuse a caller without this scope."""
    if not principal.has(scope):
        raise InsufficientScope(f"This needs the scope {scope}.", scope=scope)
