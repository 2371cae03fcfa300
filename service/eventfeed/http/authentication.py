"""Authentication: the bearer token of a request (RFC 6750 §2.1)."""

import hashlib

from cachetools import TLRUCache

from eventfeed.domain.errors import Unauthenticated
from eventfeed.domain.ports import CLOCK_SECOND, Clock
from eventfeed.domain.principal import Principal
from eventfeed.http.request import HttpRequest
from eventfeed.identity.tokens import PlatformIssuer, verify_platform_token
from eventfeed.log.clock import BOOT_TIMER

# Some 1 KB each: more callers than one process serves within the life of a token.
CACHE_TOKENS_MAX = 10_000


class Authenticator:
    """Authenticates callers by their platform tokens. Callers are cached until their token expires.

    `timer` counts nanoseconds, also those asleep: a step of the clock makes no cached token live longer.
    """

    def __init__(self, issuer: PlatformIssuer, *, timer: Clock = BOOT_TIMER) -> None:
        self._issuer = issuer
        # By a digest of the token.
        self._cache: TLRUCache[bytes, Principal, int] = TLRUCache(CACHE_TOKENS_MAX, self._expiry, timer=timer)

    async def principal(self, request: HttpRequest) -> Principal:
        """Return the caller. Raises `Unauthenticated`."""
        token = bearer_token(request)
        digest = hashlib.sha256(token.encode()).digest()
        try:
            return self._cache[digest]
        except KeyError:
            principal = self._cache[digest] = verify_platform_token(token, self._issuer)
            return principal

    def _expiry(self, _: bytes, principal: Principal, now: int) -> int:
        """Return the reading of the timer from which a cached caller no longer counts."""
        return now + principal.expires * CLOCK_SECOND - self._issuer.clock()


def bearer_token(request: HttpRequest) -> str:
    """Return the token in the Authorization header. Raises `Unauthenticated` if there is none."""
    scheme, _, token = request.fields.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("A platform token is required, as Authorization: Bearer.", has_token=False)
    return token.strip()
