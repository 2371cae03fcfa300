"""Tokens: an external one is verified by its provider's keys, a platform token by our own (contract section 6)."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jwt
import msgspec

from eventfeed.domain.errors import Unauthenticated
from eventfeed.domain.ports import Clock
from eventfeed.domain.principal import Method, Principal
from eventfeed.identity.keys import ALGORITHM, ProviderKeys, SigningKeys

# Signatures that a provider may use: none that shares a secret, and never `none`.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
# Clocks of two organisations differ by a few seconds.
LEEWAY_SECONDS = 10
# A token of this size is no token; verifying it would only cost.
TOKEN_BYTES_MAX = 16 * 1024
# Remembered platform tokens, some 1 KB each: more callers than one process serves within a token's life.
REMEMBERED_MAX = 10_000

PLATFORM = "urn:altinn:"

Claims = Mapping[str, object]


class Provider(NamedTuple):
    """An issuer of external tokens, its keys, and the audiences or client ids that it may issue for."""

    issuer: str
    keys: ProviderKeys
    accepted: frozenset[str]


async def verified_claims(token: str, provider: Provider) -> Claims:
    """The claims of an external access token. Raises `Unauthenticated`, `Unavailable` when the keys cannot be had."""
    kid = _kid(token, ALGORITHMS)
    key = await provider.keys.key(kid)
    try:
        claims: Claims = jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS),
            issuer=provider.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss"], "verify_aud": False},
        )
    except (jwt.PyJWTError, TypeError, ValueError) as refusal:
        raise Unauthenticated(_reason(refusal)) from None
    _require_access_token(claims)
    _require_accepted(claims, provider.accepted)
    return claims


class PlatformTokens:
    """Knows callers by the platform tokens that we signed; a token seen before costs a look in a table."""

    def __init__(self, keys: SigningKeys, *, issuer: str, clock: Clock) -> None:
        self._keys, self._issuer, self._clock = keys, issuer, clock
        self._remembered: dict[bytes, Principal] = {}

    def verify(self, token: str) -> Principal:
        """Who the token stands for. Raises `Unauthenticated`."""
        digest = hashlib.sha256(token.encode()).digest()
        principal = self._remembered.get(digest)
        if principal is not None and self._clock() < principal.expires * 1_000_000:
            return principal
        self._remembered.pop(digest, None)
        principal = self._verified(token, digest)
        if len(self._remembered) >= REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = principal
        return principal

    def _verified(self, token: str, digest: bytes) -> Principal:
        key = self._keys.public(_kid(token, (ALGORITHM,)))
        if key is None:
            raise Unauthenticated("The token is not a platform token of this service: exchange it first.")
        try:
            claims: Claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                options={"require": ["exp", "iss"], "verify_aud": False},
            )
            return _principal(msgspec.convert(claims, _PlatformClaims), digest)
        except (jwt.PyJWTError, msgspec.ValidationError, TypeError, ValueError) as refusal:
            raise Unauthenticated(_reason(refusal)) from None


class _PlatformClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What we put into a platform token, as we read it back."""

    exp: int
    method: Method = msgspec.field(name="urn:altinn:authenticatemethod")
    level: int = msgspec.field(name="urn:altinn:authlevel")
    scope: str = ""
    org: str | None = msgspec.field(name="urn:altinn:org", default=None)
    organisation: str | None = msgspec.field(name="urn:altinn:orgNumber", default=None)
    party: int | None = msgspec.field(name="urn:altinn:partyid", default=None)


def _principal(claims: _PlatformClaims, digest: bytes) -> Principal:
    return Principal(
        method=claims.method,
        level=claims.level,
        scopes=frozenset(claims.scope.split(" ")),
        token=digest,
        expires=claims.exp,
        org=claims.org,
        organisation=claims.organisation,
        party=None if claims.party is None else str(claims.party),
    )


def _kid(token: str, algorithms: Sequence[str]) -> str:
    """The key id of a token signed in one of these ways. Nothing else of its header is believed."""
    if len(token) > TOKEN_BYTES_MAX:
        raise Unauthenticated("The token is too long.")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError):
        raise Unauthenticated("The token is no JSON Web Token.") from None
    if header.get("alg") not in algorithms:
        raise Unauthenticated("The token is not signed in an accepted way.")
    # RFC 9068 §2.1: an access token is `at+jwt`; many issuers say `JWT` or nothing.
    if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in ("jwt", "at+jwt"):
        raise Unauthenticated("The token is no access token.")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise Unauthenticated("The token does not name its key.")
    return kid


def _require_access_token(claims: Claims) -> None:
    """An id token tells a client who logged in; it gives no right to call anyone (OpenID Connect Core 1.0 §3.1.3.6)."""
    if not claims.keys().isdisjoint({"nonce", "at_hash", "c_hash"}):
        raise Unauthenticated("The token is an id token, not an access token.")


def _require_accepted(claims: Claims, accepted: frozenset[str]) -> None:
    audience = claims.get("aud", [])
    named = {audience} if isinstance(audience, str) else set(audience if isinstance(audience, list) else [])
    if isinstance(client := claims.get("client_id"), str):
        named.add(client)
    if accepted.isdisjoint(named):
        raise Unauthenticated("The token is meant for someone else.")


def _reason(refusal: Exception) -> str:
    """Why a token is refused, without anything that it holds."""
    match refusal:
        case jwt.ExpiredSignatureError():
            return "The token has expired."
        case jwt.ImmatureSignatureError():
            return "The token is not valid yet."
        case jwt.InvalidIssuerError():
            return "The token is of another issuer."
        case jwt.MissingRequiredClaimError():
            return "The token lacks its issuer or its expiry."
        case jwt.InvalidSignatureError():
            return "The token's signature is wrong."
        case _:
            return "The token cannot be read."
