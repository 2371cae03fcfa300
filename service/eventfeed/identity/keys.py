"""Signing keys: ours, kept in a directory, and a provider's, found through its discovery document."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from eventfeed.domain.errors import Unauthenticated, Unavailable

ALGORITHM = "RS256"
# NIST SP 800-57: good until 2030.
KEY_BITS = 2048

# A provider rotates its keys in days; an unknown key is looked up sooner.
KEYS_SECONDS = 3_600.0
# Tokens with invented key ids must not make us hammer a provider.
REFRESH_SECONDS_MIN = 10.0
# One that did not answer is asked again soon, by one request at a time.
RETRY_SECONDS = 1.0
# A provider has a handful of keys, each some hundred bytes.
KEYS_MAX = 50
DOCUMENT_BYTES_MAX = 256 * 1024
FETCH_SECONDS_MAX = 5.0

D = TypeVar("D")


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """What an issuer tells of itself (OpenID Connect Discovery 1.0 §3)."""

    issuer: str
    jwks_uri: str
    response_types_supported: Sequence[str] = ("token",)
    subject_types_supported: Sequence[str] = ("public",)
    id_token_signing_alg_values_supported: Sequence[str] = (ALGORITHM,)


class KeySet(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON Web Key Set (RFC 7517 §5)."""

    keys: Sequence[dict[str, object]]


class SigningKeys:
    """The keys of one issuer, an RSA key a file, named by its id. The newest signs, all verify."""

    def __init__(self, keys: Sequence[rsa.RSAPrivateKey]) -> None:
        self._keys = {_kid(key.public_key()): key.public_key() for key in keys}
        self._newest = keys[-1]
        self._newest_kid = _kid(keys[-1].public_key())
        self.jwks = msgspec.json.encode({"keys": [_jwk(kid, key) for kid, key in self._keys.items()]})

    @classmethod
    def load(cls, directory: Path) -> "SigningKeys":
        """The keys in this directory, the newest last by name; the first is made when there is none.

        Of several processes that start at once one makes it, for all.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not any(directory.glob("*.pem")):
            _make_first(directory)
        return cls([_private(file) for file in sorted(directory.glob("*.pem"))])

    def sign(self, claims: Mapping[str, object]) -> str:
        """A JSON Web Token of these claims."""
        return jwt.encode(dict(claims), self._newest, ALGORITHM, headers={"kid": self._newest_kid})

    def public(self, kid: str) -> rsa.RSAPublicKey | None:
        """The key with this id, to verify with."""
        return self._keys.get(kid)


class ProviderKeys:
    """A provider's keys: discovery document, then key set. Kept for an hour, looked up anew for an unknown key id.

    While the provider is silent known keys stay good. Safe to share: concurrent look-ups are one.
    """

    def __init__(self, issuer: str, client: httpx.AsyncClient) -> None:
        self._issuer, self._client = issuer, client
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = self._next_try = float("-inf")
        self._silence: Unavailable | None = None
        self._one_at_a_time = asyncio.Lock()

    async def key(self, kid: str) -> jwt.PyJWK:
        """The key with this id. Raises `Unauthenticated` for an unknown one, `Unavailable` when nobody can say."""
        if self._wants_refresh(kid):
            async with self._one_at_a_time:
                if self._wants_refresh(kid):
                    await self._refresh()
        key = self._keys.get(kid)
        if key is not None:
            return key
        if self._silence is not None:
            raise Unavailable(str(self._silence), retry_seconds=self._silence.retry_seconds)
        raise Unauthenticated("The token is signed with a key that its issuer does not publish.")

    def _wants_refresh(self, kid: str) -> bool:
        now = asyncio.get_running_loop().time()
        return now >= self._next_try and (kid not in self._keys or now - self._fetched > KEYS_SECONDS)

    async def _refresh(self) -> None:
        now = asyncio.get_running_loop().time()
        try:
            self._keys, self._silence = await self._fetch(), None
            self._fetched, self._next_try = now, now + REFRESH_SECONDS_MIN
        except Unavailable as silence:
            self._silence, self._next_try = silence, now + RETRY_SECONDS

    async def _fetch(self) -> dict[str, jwt.PyJWK]:
        found = await self._document(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration", Discovery)
        if found.issuer != self._issuer:
            raise Unavailable("The token provider's discovery document names another issuer.")
        published = await self._document(found.jwks_uri, KeySet)
        keys = dict[str, jwt.PyJWK]()
        for jwk in published.keys[:KEYS_MAX]:
            kid = jwk.get("kid")
            if isinstance(kid, str) and jwk.get("use", "sig") == "sig":
                try:
                    keys[kid] = jwt.PyJWK(jwk)
                except jwt.PyJWTError:
                    continue  # a key of a kind that we do not read verifies nothing
        return keys

    async def _document(self, url: str, kind: type[D]) -> D:
        """A JSON document, bounded in bytes and time."""
        if not url.startswith(("https://", "http://127.", "http://localhost:", "http://[::1]")):
            raise Unavailable("The token provider's addresses must be https.")
        try:
            async with asyncio.timeout(FETCH_SECONDS_MAX), self._client.stream("GET", url) as answer:
                answer.raise_for_status()
                body = bytearray()
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > DOCUMENT_BYTES_MAX:
                        raise Unavailable("The token provider's answer is too large.")
            return msgspec.json.decode(body, type=kind)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, msgspec.DecodeError, UnicodeDecodeError) as failure:
            raise Unavailable("The token provider does not answer as it should.", retry_seconds=5) from failure


def _make_first(directory: Path) -> None:
    """Write a key under a name of its own, then link it to the name that all agree on: only one link succeeds."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    draft = directory / f"{secrets.token_hex(8)}.draft"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, directory / "0001.pem")
    except FileExistsError:
        pass  # another process was first: its key is everyone's
    finally:
        draft.unlink()


def _private(file: Path) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{file} holds no RSA key")
    return key


def _kid(key: rsa.RSAPublicKey) -> str:
    """An id that no other key has, so that nobody who remembers an older key mistakes this one for it."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:16]


def _jwk(kid: str, key: rsa.RSAPublicKey) -> Mapping[str, object]:
    return {**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": kid, "use": "sig", "alg": ALGORITHM}
