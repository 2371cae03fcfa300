"""Who is asking, and what a token lets them do (contract sections 5 and 6)."""

import enum
import functools

import msgspec

from eventfeed.domain.errors import InsufficientScope
from eventfeed.domain.event import App

SCOPE_PUBLISH = "altinn:events.publish"
SCOPE_PUBLISH_ADMIN = "altinn:events.publish.admin"
SCOPE_REPORTEES = "altinn:events/reportees"
SCOPE_SUBSCRIBE = "altinn:events.subscribe"
SCOPE_ADMIN = "altinn:events.admin"


class Method(enum.Enum):
    """Where a platform token was born: `urn:altinn:authenticatemethod`."""

    MASKINPORTEN = "maskinporten"
    ID_PORTEN = "id-porten"


class Principal(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A caller as its platform token tells: whole scopes, and the numbers the platform added.

    `organisation` is an organisation number (9 digits), `org` the short name the register knows it by, `user` and
    `party` the platform's ids, `level` the authentication level 0 to 4, `token` a digest that stands for the token,
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

    @functools.cached_property
    def caller(self) -> str:
        """Whom it stands for, whatever token it came with."""
        return f"{self.method.value} {self.user} {self.organisation}"

    @functools.cached_property
    def rights(self) -> str:
        """Whatever of a caller decides what it may see, in one text."""
        return f"{self.caller} {self.party} {self.level} {' '.join(sorted(self.scopes))}"

    def has(self, scope: str) -> bool:
        """Whether a scope counts: held whole, and given by Maskinporten."""
        return self.method is Method.MASKINPORTEN and scope in self.scopes


def require_app(principal: Principal, app: App) -> None:
    """Refuse a caller that may read neither this app nor all apps of its org."""
    scope = f"altinn:events/{app.org}/{app.name}"
    if not (principal.has(scope) or principal.has(f"altinn:events/{app.org}")):
        raise InsufficientScope(f"Reading this feed needs the scope {scope}.", scope=scope)


def require_scope(principal: Principal, scope: str) -> None:
    """Refuse a caller that does not hold this scope."""
    if not principal.has(scope):
        raise InsufficientScope(f"This needs the scope {scope}.", scope=scope)


class Publisher(msgspec.Struct, frozen=True, kw_only=True):
    """Who a publisher may speak for: its own `org`, or as `admin` any."""

    org: str | None
    admin: bool


def require_publisher(principal: Principal) -> Publisher:
    """What the caller may publish. Refuses one that may not publish at all."""
    admin = principal.has(SCOPE_PUBLISH_ADMIN)
    if not (admin or principal.has(SCOPE_PUBLISH)):
        raise InsufficientScope(f"Publishing needs the scope {SCOPE_PUBLISH}.", scope=SCOPE_PUBLISH)
    return Publisher(org=principal.org, admin=admin)
