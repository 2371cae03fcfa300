"""Tokens: external ones are verified with their provider's keys, platform tokens with ours (contract section 6)."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from eventfeed.domain.errors import Unauthenticated
from eventfeed.domain.ports import CLOCK_SECOND, Clock
from eventfeed.domain.principal import Method, Principal
from eventfeed.identity.keys import ProviderKeys, SigningKeys
from eventfeed.identity.signatures import key_id, signed_payload, unverified_payload

# Clocks of two machines differ by a few seconds, so a new token may not seem to be valid yet. The expiry has no leeway:
# a platform token expires with its external token, so one made from an expired token would be expired at once.
LEEWAY_SECONDS = 10

PLATFORM = "urn:altinn:"
SYSTEM_USER = f"{PLATFORM}systemuser:uuid"

# Claims of id tokens only (OpenID Connect Core 1.0 §2, §3.3.2.11), and claims of which every access token has one
# (RFC 9068 §2.2). Both are needed: an id token without a nonce looks like an access token, and its audience is a client
# that may be accepted.
_ID_TOKEN_CLAIMS = frozenset({"nonce", "at_hash", "c_hash"})
_ACCESS_TOKEN_CLAIMS = frozenset({"scope", "client_id"})

# RFC 7519 §2: seconds since 1970, fractions allowed. Far beyond any date, far within what a float counts exactly.
NumericDate = Annotated[float, Meta(ge=0, le=1e11)]
C = TypeVar("C")


class Provider(NamedTuple):
    """An issuer of external tokens, its keys, and the audiences and client ids that are accepted (None: all)."""

    issuer: str
    keys: ProviderKeys
    audiences: frozenset[str] | None


class PlatformIssuer(NamedTuple):
    """The issuer of platform tokens: its URL, its keys, and a clock."""

    url: str
    keys: SigningKeys
    clock: Clock

    def sign(self, claims: Mapping[str, object], *, now: int, expires: int) -> str:
        """Return a token of these claims, valid from `now` until before `expires` (Unix time)."""
        return self.keys.sign({**claims, "iss": self.url, "iat": now, "nbf": now, "exp": expires})


class ExternalToken(msgspec.Struct, frozen=True, kw_only=True):
    """A verified external token: its payload, all its claims, each as JSON, and its expiry (Unix time)."""

    payload: bytes
    claims: Mapping[str, msgspec.Raw]
    expires: int


class _Issuer(msgspec.Struct, frozen=True, kw_only=True):
    iss: str


class RegisteredClaims(_Issuer, frozen=True, kw_only=True):
    """The claims that every token is checked by (RFC 7519 §4.1)."""

    exp: NumericDate
    nbf: NumericDate = 0
    scope: str = ""


class _ExternalClaims(RegisteredClaims, frozen=True, kw_only=True):
    """The claims of an external token that it is verified by; the exchange reads the others."""

    aud: str | Sequence[str] = ()
    client_id: str | None = None


class _PlatformClaims(RegisteredClaims, frozen=True, kw_only=True):
    """The claims of a platform token."""

    method: Method = msgspec.field(name="urn:altinn:authenticatemethod")
    level: int = msgspec.field(name="urn:altinn:authlevel")
    org: str | None = msgspec.field(name="urn:altinn:org", default=None)
    organisation: str | None = msgspec.field(name="urn:altinn:orgNumber", default=None)
    user: int | None = msgspec.field(name="urn:altinn:userid", default=None)
    party: int | None = msgspec.field(name="urn:altinn:partyid", default=None)
    system_user: str | None = msgspec.field(name=SYSTEM_USER, default=None)


async def verify_external_token(token: str, provider: Provider, *, now: int) -> ExternalToken:
    """Verify an external access token; `now` in ns. Raises `Unauthenticated`, or `Unavailable` without the keys."""
    kid = key_id(token)
    # Before the keys: a token of another issuer, or an old one, must not make anybody wait for them.
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        unverified = msgspec.json.decode(unverified_payload(token), type=RegisteredClaims)
        require_current(unverified, provider.issuer, now=now)
    payload = signed_payload(token, await provider.keys.key(kid))
    claims, registered = decode_claims(payload, dict[str, msgspec.Raw]), decode_claims(payload, _ExternalClaims)
    require_current(registered, provider.issuer, now=now)
    _require_access_token(claims)
    if provider.audiences is not None:
        _require_audience(registered, provider.audiences)
    return ExternalToken(payload=payload, claims=claims, expires=int(registered.exp))


def verify_platform_token(token: str, issuer: PlatformIssuer) -> Principal:
    """Return the caller that a token was issued to. Raises `Unauthenticated`."""
    key = issuer.keys.key(key_id(token))
    if key is None:
        raise Unauthenticated("The token is not a platform token of this service: exchange it first.")
    claims = decode_claims(signed_payload(token, key), _PlatformClaims)
    require_current(claims, issuer.url, now=issuer.clock())
    return Principal(
        method=claims.method,
        level=claims.level,
        scopes=frozenset(claims.scope.split(" ")) - {""},
        token=hashlib.sha256(token.encode()).digest(),
        expires=int(claims.exp),
        org=claims.org,
        organisation=claims.organisation,
        user=None if claims.user is None else str(claims.user),
        party=None if claims.party is None else str(claims.party),
        system_user=claims.system_user,
    )


def unverified_issuer(token: str) -> str:
    """Return the issuer that a token names, "" for none. Raises `Unauthenticated` if it is no access token."""
    key_id(token)
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(unverified_payload(token), type=_Issuer).iss
    return ""


def decode_claims(payload: bytes, kind: type[C]) -> C:
    """Return the claims of a token's payload. Raises `Unauthenticated` if a required one is missing or invalid."""
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The message of the failure may hold data of the token.
        raise Unauthenticated("A required claim of the token is missing or cannot be read.") from None


def require_current(claims: RegisteredClaims, issuer: str, *, now: int) -> None:
    """Raise `Unauthenticated` unless the token is of this issuer and valid at `now` (ns)."""
    if claims.iss != issuer:
        raise Unauthenticated("The token has another issuer.")
    if now >= int(claims.exp) * CLOCK_SECOND:
        raise Unauthenticated("The token has expired.")
    if now < (claims.nbf - LEEWAY_SECONDS) * CLOCK_SECOND:
        raise Unauthenticated("The token is not valid yet.")


def _require_access_token(claims: Mapping[str, msgspec.Raw]) -> None:
    """Reject an id token: it tells a client who logged in, and gives no right to call a service."""
    if claims.keys() & _ID_TOKEN_CLAIMS or not claims.keys() & _ACCESS_TOKEN_CLAIMS:
        raise Unauthenticated("The token is an id token, not an access token.")


def _require_audience(claims: _ExternalClaims, accepted_audiences: frozenset[str]) -> None:
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if accepted_audiences.isdisjoint([*audiences, claims.client_id]):
        raise Unauthenticated("The token is for another audience.")
