"""Tokens of apps: verified with the keys of their issuers (contract section 4).

Apps of Altinn make them: the issuer is the short name of the organisation, and a claim has the name of the app without
it (github.com/Altinn/altinn-accesstoken, `AccessTokenGenerator.cs`).
"""

import functools
from collections.abc import Sequence

import msgspec
from cachetools import LRUCache

from eventfeed.domain.app_source import parse_app
from eventfeed.domain.errors import Unauthenticated, Unavailable
from eventfeed.domain.event import App
from eventfeed.domain.ports import Clock
from eventfeed.identity.app_keys import KeyFiles, is_issuer, issuer_keys
from eventfeed.identity.keys import CachedKeys
from eventfeed.identity.signatures import VerifyingKey, signed_payload, token_header, unverified_payload
from eventfeed.identity.tokens import PLATFORM, RegisteredClaims, decode_claims, require_current

# A rotation of keys takes effect within this time.
KEYS_SECONDS = 300.0
# More issuers than there are organisations with apps.
ISSUERS_MAX = 1_000
# Issuers without keys that are looked up at a time. Anybody can invent one, so they may use half of the connections of
# the HTTP client.
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
        self._lookups = set[str]()

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
        kid = str(header.get("kid", ""))
        known = self._known.get(issuer)
        keys = await (known.candidates(kid) if known is not None else self._look_up(issuer, kid))
        if not keys:
            raise Unauthenticated(f"This service has no keys of its issuer, {issuer}.")
        claims = self._require_current(_signed_payload(token, keys))
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

    async def _look_up(self, issuer: str, kid: str) -> Sequence[VerifyingKey]:
        """Return the keys of an issuer that had none so far. Raises `Unavailable` if that is asked of too many."""
        if issuer not in self._lookups and len(self._lookups) >= LOOKUPS_MAX:
            raise Unavailable("The keys of too many issuers of app tokens are looked up.")
        cached = self._unknown.get(issuer)
        if cached is None:
            fetch = functools.partial(issuer_keys, issuer, self._files, clock=self._clock)
            cached = self._unknown[issuer] = CachedKeys(fetch, seconds=KEYS_SECONDS)
        self._lookups.add(issuer)
        try:
            keys = await cached.candidates(kid)
        finally:
            self._lookups.discard(issuer)
        if keys:
            self._known[issuer] = cached
        return keys


def _signed_payload(token: str, keys: Sequence[VerifyingKey]) -> bytes:
    """Return the payload if one of the keys signed it. Raises `Unauthenticated`."""
    *others, last = keys
    for key in others:
        try:
            return signed_payload(token, key)
        except Unauthenticated:
            continue
    return signed_payload(token, last)
