"""Keys: our signing keys in a directory, and a provider's public keys, cached for a while."""

import asyncio
import functools
import hashlib
import math
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import httpx
import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm

from eventfeed.domain.errors import Unauthenticated, Unavailable
from eventfeed.identity.discovery import fetch_keys
from eventfeed.identity.signatures import (
    ATTEMPTS_MAX,
    RSA_BITS_MAX,
    RSA_BITS_MIN,
    Keys,
    VerifyingKey,
    signed_payload,
)
from eventfeed.settings import SettingsError
from eventfeed.single_flight import SingleFlight
from eventfeed.telemetry.telemetry import Telemetry

# Every platform and provider verifies it.
ALGORITHM = "RS256"

# A provider rotates its keys within days; an unknown key id causes a refresh sooner.
KEYS_SECONDS = 3_600.0
# Tokens with invented key ids must not cause more requests to a provider.
REFRESH_SECONDS_MIN = 10.0
# After a failed refresh.
RETRY_SECONDS_MIN = 1.0


class SigningKeys:
    """The keys of one issuer. The newest signs, all verify; `jwks` is all of them in public (RFC 7517 §5)."""

    def __init__(self, keys: Sequence[rsa.RSAPrivateKey]) -> None:
        public = [key.public_key() for key in keys]
        self._verifying = {_kid(key): VerifyingKey(key=key, algorithms=[ALGORITHM]) for key in public}
        self._newest, self._newest_kid = keys[-1], _kid(public[-1])
        # 64 bytes that only processes with the keys can compute.
        self.secret = hashlib.blake2b(_private_bytes(self._newest, Encoding.DER), person=b"secret").digest()
        self.jwks = msgspec.json.encode({"keys": [_jwk(key) for key in public]})

    @classmethod
    def load(cls, directory: Path) -> "SigningKeys":
        """Return the keys in this directory, a `.pem` file each, the newest last by name. Raises `SettingsError`.

        If there is none, the first key is made, by one process if several start at the same time.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not any(directory.glob("*.pem")):
                _make_first(directory)
            return cls([_private(file) for file in sorted(directory.glob("*.pem"))])
        except OSError as failure:
            raise SettingsError(
                f"EVENTFEED_KEYS: signing keys cannot be stored in {directory}: {failure.strerror}. "
                "Set a directory that the service may read and write."
            ) from None

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return a JSON Web Token of these claims."""
        return jwt.PyJWS().encode(
            msgspec.json.encode(claims), self._newest, ALGORITHM, headers={"kid": self._newest_kid}
        )

    def key(self, kid: str) -> VerifyingKey | None:
        """Return the key with this id, None if it is not ours."""
        return self._verifying.get(kid)


class CachedKeys:
    """The public keys of an issuer: cached for `seconds`, refreshed sooner for a token of an unknown key.

    `fetch` returns them by their ids, or raises `Unavailable`. Concurrent callers share a refresh. While refreshes
    fail, the cached keys count.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Keys]], *, seconds: float) -> None:
        self._fetch, self._seconds = fetch, seconds
        self._keys: Keys = {}
        self._refresh_time = self._next_refresh = float("-inf")
        self._failure: Unavailable | None = None
        self._refreshing = SingleFlight[None]()

    async def key(self, kid: str) -> VerifyingKey:
        """Return the key with this id. Raises `Unauthenticated` if there is none, `Unavailable` if unknown."""
        has_refreshed = await self._refresh_if(is_missing=kid not in self._keys)
        if (key := self._keys.get(kid)) is not None:
            return key
        self._require_current(has_refreshed=has_refreshed)
        raise Unauthenticated("The token is signed with a key that its issuer does not publish.")

    async def signed_payload(self, token: str, kid: str) -> bytes:
        """Return the payload of a token that the key with this id signed, or one of the keys if none has this id.

        Raises `Unauthenticated` if none of them signed it, `Unavailable` if a newer key may have.
        """
        has_refreshed = await self._refresh_if(is_missing=not self._keys)
        payload = self._payload(token, kid)
        if payload is None and not has_refreshed and kid not in self._keys:
            has_refreshed = await self._refresh_if(is_missing=True)
            payload = self._payload(token, kid) if has_refreshed else None
        if payload is not None:
            return payload
        if kid not in self._keys:
            self._require_current(has_refreshed=has_refreshed)
            if len(self._keys) > ATTEMPTS_MAX:
                raise Unauthenticated("Its issuer has too many keys to try each: the token must name one by `kid`.")
        raise Unauthenticated("The token's signature is invalid.")

    @property
    def is_empty(self) -> bool:
        """True if the issuer has no keys, or they are unknown."""
        return not self._keys

    def _payload(self, token: str, kid: str) -> bytes | None:
        keys = [self._keys[kid]] if kid in self._keys else islice(self._keys.values(), ATTEMPTS_MAX)
        for key in keys:
            with suppress(Unauthenticated):
                return signed_payload(token, key)
        return None

    async def _refresh_if(self, *, is_missing: bool) -> bool:
        """Refresh the keys if that is due, or if one is missing. True if it was done."""
        now = asyncio.get_running_loop().time()
        if now < self._next_refresh or (not is_missing and now < self._refresh_time + self._seconds):
            return False
        refresh = asyncio.create_task(self._refreshing.run(self._refresh))
        # A cached key need not wait for a source that failed the last time.
        if is_missing or self._failure is None:
            await refresh
        return True

    def _require_current(self, *, has_refreshed: bool) -> None:
        """Raise `Unavailable` if the keys are unknown, or if a key may be newer than the last refresh."""
        if self._failure is not None:
            raise Unavailable(str(self._failure), retry_seconds=self._failure.retry_seconds)
        if not has_refreshed:
            left = self._next_refresh - asyncio.get_running_loop().time()
            raise Unavailable(
                "The token's key was not among its issuer's keys a moment ago, and they are not read again yet.",
                retry_seconds=max(1, math.ceil(left)),
            )

    async def _refresh(self) -> None:
        clock, pause = asyncio.get_running_loop().time, REFRESH_SECONDS_MIN
        try:
            self._keys = await self._fetch()
            self._failure, self._refresh_time = None, clock()
        except Unavailable as failure:
            self._failure, pause = failure, RETRY_SECONDS_MIN
        finally:
            self._next_refresh = clock() + pause


class ProviderKeys(CachedKeys):
    """A provider's keys, found through its discovery document and cached for an hour."""

    def __init__(self, issuer: str, client: httpx.AsyncClient, *, telemetry: Telemetry) -> None:
        fetch = functools.partial(fetch_keys, issuer, client, telemetry=telemetry)
        super().__init__(fetch, seconds=KEYS_SECONDS)


def _make_first(directory: Path) -> None:
    """Write a key to a draft, then link it to the name of the first key: the link of one process succeeds."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS_MIN)
    draft = directory / f"{secrets.token_hex(8)}.draft"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(_private_bytes(key, Encoding.PEM))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, directory / "0001.pem")
    except FileExistsError:
        pass  # another process was first: all use its key
    finally:
        draft.unlink()


def _private(file: Path) -> rsa.RSAPrivateKey:
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey) or not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
        raise SettingsError(
            f"EVENTFEED_KEYS: {file} is not an unencrypted RSA private key in PEM with at least {RSA_BITS_MIN} bits "
            f"and at most {RSA_BITS_MAX}. "
            "Replace or remove it: tokens that it signed are then rejected."
        )
    return key


def _private_bytes(key: rsa.RSAPrivateKey, encoding: Encoding) -> bytes:
    return key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())


def _kid(key: rsa.RSAPublicKey) -> str:
    """Return an id made from the key itself: a client with a cached key set never takes one key for another."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:16]


def _jwk(key: rsa.RSAPublicKey) -> Mapping[str, object]:
    return {**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": _kid(key), "use": "sig", "alg": ALGORITHM}
