"""Tokens: an external one is verified by its provider's keys, a platform token by our own (contract section 6)."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from eventfeed.domain.errors import Unauthenticated
from eventfeed.domain.ports import Clock
from eventfeed.domain.principal import Method, Principal
from eventfeed.identity.keys import ProviderKeys, SigningKeys
from eventfeed.identity.signatures import key_id, signed_payload

# Clocks of two machines differ by a few seconds, so a token just issued may seem to be of the future. Its expiry gets
# no such grace: a platform token never outlives its origin, so one from an expired token would be dead when issued.
LEEWAY_SECONDS = 10
# Remembered platform tokens, some 1 KB each: more callers than one process serves within a token's life.
REMEMBERED_MAX = 10_000

PLATFORM = "urn:altinn:"

# What only id tokens hold (OpenID Connect Core 1.0 §2, §3.3.2.11), and what at least one of only access tokens do
# (RFC 9068 §2.2): without a nonce an id token is otherwise alike, and its audience is a client that we may accept.
_OF_ID_TOKENS = frozenset({"nonce", "at_hash", "c_hash"})
_OF_ACCESS_TOKENS = frozenset({"scope", "client_id"})

# RFC 7519 §2: seconds since 1970, fractions allowed. Far beyond any date, far within what a float counts exactly.
NumericDate = Annotated[float, Meta(ge=0, le=1e11)]
C = TypeVar("C")


class Provider(NamedTuple):
    """An issuer of external tokens, its keys, and the audiences or client ids that it may issue for."""

    issuer: str
    keys: ProviderKeys
    accepted: frozenset[str]


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """An external token that counts: all it claims, each as JSON, and its last second (Unix time)."""

    claims: Mapping[str, msgspec.Raw]
    expires: int


class _Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The claims that decide whether a token counts at all (RFC 7519 §4.1)."""

    iss: str
    exp: NumericDate
    nbf: NumericDate = 0
    scope: str = ""


class _ExternalClaims(_Registered, frozen=True, kw_only=True):
    """What of an external token is read here; the rest is the exchange's."""

    aud: str | Sequence[str] = ()
    client_id: str | None = None


class _PlatformClaims(_Registered, frozen=True, kw_only=True):
    """What we put into a platform token, as we read it back."""

    method: Method = msgspec.field(name="urn:altinn:authenticatemethod")
    level: int = msgspec.field(name="urn:altinn:authlevel")
    org: str | None = msgspec.field(name="urn:altinn:org", default=None)
    organisation: str | None = msgspec.field(name="urn:altinn:orgNumber", default=None)
    user: int | None = msgspec.field(name="urn:altinn:userid", default=None)
    party: int | None = msgspec.field(name="urn:altinn:partyid", default=None)


async def verified(token: str, provider: Provider, *, now: int) -> Verified:
    """An external access token, `now` in µs. Raises `Unauthenticated`, `Unavailable` when keys cannot be had."""
    payload = signed_payload(token, await provider.keys.key(key_id(token)))
    claims, registered = _decoded(payload, dict[str, msgspec.Raw]), _decoded(payload, _ExternalClaims)
    _require_current(registered, provider.issuer, now=now)
    _require_access_token(claims)
    _require_accepted(registered, provider.accepted)
    return Verified(claims=claims, expires=int(registered.exp))


class PlatformTokens:
    """Knows callers by the platform tokens that we signed; a token seen before costs a look in a table."""

    def __init__(self, keys: SigningKeys, *, issuer: str, clock: Clock) -> None:
        self._keys, self._issuer, self._clock = keys, issuer, clock
        self._remembered: dict[bytes, Principal] = {}

    def verify(self, token: str) -> Principal:
        """Who the token stands for. Raises `Unauthenticated`."""
        digest, now = hashlib.sha256(token.encode(errors="surrogatepass")).digest(), self._clock()
        principal = self._remembered.get(digest)
        if principal is not None and now < principal.expires * 1_000_000:
            return principal
        principal = self._remembered[digest] = self._verified(token, digest, now=now)
        oldest, known = next(iter(self._remembered.items()))
        if len(self._remembered) > REMEMBERED_MAX or now >= known.expires * 1_000_000:
            del self._remembered[oldest]
        return principal

    def _verified(self, token: str, digest: bytes, *, now: int) -> Principal:
        key = self._keys.key(key_id(token))
        if key is None:
            raise Unauthenticated("The token is not a platform token of this service: exchange it first.")
        claims = _decoded(signed_payload(token, key), _PlatformClaims)
        _require_current(claims, self._issuer, now=now)
        return _principal(claims, digest)


def _principal(claims: _PlatformClaims, digest: bytes) -> Principal:
    return Principal(
        method=claims.method,
        level=claims.level,
        scopes=frozenset(claims.scope.split(" ")) - {""},
        token=digest,
        expires=int(claims.exp),
        org=claims.org,
        organisation=claims.organisation,
        user=None if claims.user is None else str(claims.user),
        party=None if claims.party is None else str(claims.party),
    )


def _decoded(payload: bytes, kind: type[C]) -> C:
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Nothing of the failure is told: it may hold what the token holds.
        raise Unauthenticated("A claim that the token needs is missing or cannot be read.") from None


def _require_current(claims: _Registered, issuer: str, *, now: int) -> None:
    if claims.iss != issuer:
        raise Unauthenticated("The token is of another issuer.")
    if now >= int(claims.exp) * 1_000_000:
        raise Unauthenticated("The token has expired.")
    if now < (claims.nbf - LEEWAY_SECONDS) * 1_000_000:
        raise Unauthenticated("The token is not valid yet.")


def _require_access_token(claims: Mapping[str, msgspec.Raw]) -> None:
    """An id token tells a client who logged in; it gives no right to call anyone."""
    if claims.keys() & _OF_ID_TOKENS or not claims.keys() & _OF_ACCESS_TOKENS:
        raise Unauthenticated("The token is an id token, not an access token.")


def _require_accepted(claims: _ExternalClaims, accepted: frozenset[str]) -> None:
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if accepted.isdisjoint([*audiences, claims.client_id]):
        raise Unauthenticated("The token is meant for someone else.")
