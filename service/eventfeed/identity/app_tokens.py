"""Tokens of apps: verified with the keys of their issuers (contract section 4).

Apps of Altinn make them: the issuer is the short name of the organisation, and a claim has the name of the app without
it (github.com/Altinn/altinn-accesstoken, `AccessTokenGenerator.cs`).
"""

import functools
from collections.abc import Sequence

import msgspec
from cachetools import LRUCache

from eventfeed.domain.app_source import parse_app
from eventfeed.domain.errors import Unauthenticated
from eventfeed.domain.event import App
from eventfeed.domain.ports import Clock
from eventfeed.identity.app_keys import KeyFiles, is_issuer, issuer_keys
from eventfeed.identity.keys import CachedKeys
from eventfeed.identity.signatures import VerifyingKey, signed_payload, token_header, unverified_payload
from eventfeed.identity.tokens import PLATFORM, RegisteredClaims, decode_claims, require_current

# A rotation of keys takes effect within this time.
KEYS_SECONDS = 300.0
# More issuers than there are organisations with apps. Invented ones only cause the files to be read again.
ISSUERS_MAX = 1_000


class _AppClaims(RegisteredClaims, frozen=True, kw_only=True):
    """The claims of an app token."""

    app: str = msgspec.field(name=f"{PLATFORM}app")


class AppTokens:
    """Verifies tokens of apps, with the keys in `files`."""

    def __init__(self, files: KeyFiles, *, clock: Clock) -> None:
        self._files, self._clock = files, clock
        # By issuer.
        self._keys = LRUCache[str, CachedKeys](ISSUERS_MAX)

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
        keys = await self._keys_of(issuer).candidates(str(header.get("kid", "")))
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

    def _keys_of(self, issuer: str) -> CachedKeys:
        keys = self._keys.get(issuer)
        if keys is None:
            fetch = functools.partial(issuer_keys, issuer, self._files, clock=self._clock)
            keys = self._keys[issuer] = CachedKeys(fetch, seconds=KEYS_SECONDS)
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
