"""Tokens of apps: verified with the keys of their issuers (contract section 4).

Apps of Altinn make them: the issuer is the short name of the organisation, and a claim has the name of the app without
it (github.com/Altinn/altinn-accesstoken, `AccessTokenGenerator.cs`).
"""

import functools

import msgspec
from cachetools import LRUCache

from eventfeed.domain.app_source import parse_app
from eventfeed.domain.errors import Unauthenticated, Unavailable
from eventfeed.domain.event import App
from eventfeed.domain.ports import Clock
from eventfeed.identity.app_keys import KeyFiles, is_issuer, issuer_keys
from eventfeed.identity.keys import CachedKeys
from eventfeed.identity.signatures import Keys, token_header, unverified_payload
from eventfeed.identity.tokens import PLATFORM, RegisteredClaims, decode_claims, require_current

# A rotation of keys takes effect within this time.
KEYS_SECONDS = 300.0
# More issuers than there are organisations with apps.
ISSUERS_MAX = 1_000
# Issuers without keys that are looked up at a time; more are refused at once. Anybody can invent one, so they may use
# half of the connections of the HTTP client. Issuers with keys do not count.
LOOKUPS_MAX = 50


class _AppClaims(RegisteredClaims, frozen=True, kw_only=True):
    """The claims of an app token."""

    app: str = msgspec.field(name=f"{PLATFORM}app")


class AppTokens:
    """Verifies tokens of apps, with the keys in `files`."""

    def __init__(self, files: KeyFiles, *, clock: Clock) -> None:
        self._files, self._clock = files, clock
        # By issuer. Invented issuers must not displace those with keys.
        self._known = LRUCache[str, CachedKeys](ISSUERS_MAX)
        self._unknown = LRUCache[str, CachedKeys](ISSUERS_MAX)
        self._lookups = 0

    async def app(self, token: str) -> App:
        """Return the app that sent a token. Raises `Unauthenticated`, or `Unavailable` without the issuer's keys."""
        try:
            return await self._verify(token)
        except Unauthenticated as failure:
            raise Unauthenticated(f"The app token in the header PlatformAccessToken is invalid. {failure}") from None

    async def _verify(self, token: str) -> App:
        header = token_header(token)
        # Before the keys: an old token, or one of no issuer, must not make anybody wait for them.
        issuer = self._require_current(unverified_payload(token)).iss
        payload = await self._signed_payload(token, issuer, kid=str(header.get("kid", "")))
        claims = self._require_current(payload)
        app = parse_app(claims.iss, claims.app)
        if app is None:
            raise Unauthenticated(f"Its claim {PLATFORM}app is not the name of an app.")
        return app

    def _require_current(self, payload: bytes) -> _AppClaims:
        claims = decode_claims(payload, _AppClaims)
        require_current(claims, claims.iss, now=self._clock())
        if not is_issuer(claims.iss):
            raise Unauthenticated("Its issuer is not the short name of an organisation.")
        return claims

    async def _signed_payload(self, token: str, issuer: str, *, kid: str) -> bytes:
        keys = self._keys(issuer)
        try:
            return await keys.signed_payload(token, kid)
        except Unauthenticated:
            if keys.is_empty:
                raise Unauthenticated(f"This service has no keys of its issuer, {issuer}.") from None
            raise
        finally:
            if not keys.is_empty:
                self._known[issuer] = keys

    def _keys(self, issuer: str) -> CachedKeys:
        cached = self._known.get(issuer) or self._unknown.get(issuer)
        if cached is None:
            cached = self._unknown[issuer] = CachedKeys(functools.partial(self._read, issuer), seconds=KEYS_SECONDS)
        return cached

    async def _read(self, issuer: str) -> Keys:
        """Return the keys of an issuer. Raises `Unavailable`, also if too many issuers without keys are looked up."""
        if issuer in self._known:
            return await issuer_keys(issuer, self._files, clock=self._clock)
        if self._lookups >= LOOKUPS_MAX:
            raise Unavailable("The keys of too many issuers of app tokens are looked up.")
        self._lookups += 1
        try:
            return await issuer_keys(issuer, self._files, clock=self._clock)
        finally:
            self._lookups -= 1
