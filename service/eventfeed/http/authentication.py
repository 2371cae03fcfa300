"""Authentication: the bearer token of a request (RFC 6750 §2.1)."""

import functools
import hashlib

from cachetools import TLRUCache

from eventfeed.domain.errors import Unauthenticated
from eventfeed.domain.ports import CLOCK_SECOND, Clock
from eventfeed.domain.principal import Principal
from eventfeed.http.request import HttpRequest
from eventfeed.identity.tokens import PlatformIssuer, verify_platform_token
from eventfeed.identity.trusted_issuer import TrustedIssuer
from eventfeed.log.clock import BOOT_TIMER
from eventfeed.single_flight import SingleFlight

# Some 1 KB each: more callers than one process serves within the life of a token.
CACHE_TOKENS_MAX = 10_000


class Authenticator:
    """Authenticates callers by platform tokens, ours and those of `trusted`. Callers are cached until they expire.

    `timer` counts nanoseconds, also those asleep: a step of the clock makes no cached token live longer.
    """

    def __init__(
        self, issuer: PlatformIssuer, *, trusted: TrustedIssuer | None = None, timer: Clock = BOOT_TIMER
    ) -> None:
        self._issuer, self._trusted = issuer, trusted
        # By a digest of the token.
        self._cache: TLRUCache[bytes, Principal, int] = TLRUCache(CACHE_TOKENS_MAX, self._expiry, timer=timer)
        # Concurrent requests with one token of the trusted issuer share its verification.
        self._verifications = SingleFlight[Principal]()

    async def principal(self, request: HttpRequest) -> Principal:
        """Return the caller. Raises `Unauthenticated`, `Unavailable` if a key is not at hand and cannot be fetched."""
        token = bearer_token(request)
        digest = hashlib.sha256(token.encode()).digest()
        try:
            return self._cache[digest]
        except KeyError:
            principal = self._cache[digest] = await self._verify(token, digest)
            return principal

    async def _verify(self, token: str, digest: bytes) -> Principal:
        if self._trusted is None or not self._trusted.is_named_by(token):
            return verify_platform_token(token, self._issuer)
        return await self._verifications.run(functools.partial(self._trusted.principal, token), key=digest)

    def _expiry(self, _: bytes, principal: Principal, now: int) -> int:
        """Return the reading of the timer from which a cached caller no longer counts."""
        return now + principal.expires * CLOCK_SECOND - self._issuer.clock()


def bearer_token(request: HttpRequest) -> str:
    """Return the token in the Authorization header. Raises `Unauthenticated` if there is none."""
    scheme, _, token = request.fields.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("A platform token is required, as Authorization: Bearer.", has_token=False)
    return token.strip()
