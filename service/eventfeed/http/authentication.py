"""Authentication: the bearer token of a request (RFC 6750 §2.1)."""

import hashlib

from cachetools import TLRUCache

from eventfeed.domain.errors import Unauthenticated
from eventfeed.domain.ports import CLOCK_SECOND
from eventfeed.domain.principal import Principal
from eventfeed.http.request import HttpRequest
from eventfeed.identity.tokens import PlatformIssuer, verify_platform_token

# Some 1 KB each: more callers than one process serves within the life of a token.
CACHE_TOKENS_MAX = 10_000


class Authenticator:
    """Authenticates callers by their platform tokens. Callers are cached until their token expires."""

    def __init__(self, issuer: PlatformIssuer) -> None:
        self._issuer = issuer
        # By a digest of the token.
        self._cache: TLRUCache[bytes, Principal, int] = TLRUCache(CACHE_TOKENS_MAX, _expiry, timer=issuer.clock)

    def principal(self, request: HttpRequest) -> Principal:
        """Return the caller. Raises `Unauthenticated`."""
        token = bearer_token(request)
        digest = hashlib.sha256(token.encode()).digest()
        try:
            return self._cache[digest]
        except KeyError:
            principal = self._cache[digest] = verify_platform_token(token, self._issuer)
            return principal


def bearer_token(request: HttpRequest) -> str:
    """Return the token in the Authorization header. Raises `Unauthenticated` if there is none."""
    scheme, _, token = request.fields.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("A platform token is required, as Authorization: Bearer.", has_token=False)
    return token.strip()


def _expiry(_: bytes, principal: Principal, __: int) -> int:
    """Return the time (ns) from which a cached caller no longer counts."""
    return principal.expires * CLOCK_SECOND
