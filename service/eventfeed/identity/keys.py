"""Keys: those we sign with, kept in a directory, and a provider's, remembered for a while."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from eventfeed.domain.errors import Unauthenticated, Unavailable
from eventfeed.identity.discovery import published_keys
from eventfeed.identity.signatures import RSA_BITS_MIN, VerifyingKey
from eventfeed.settings import SettingsError

# What every platform and provider verifies.
ALGORITHM = "RS256"

# A provider rotates its keys in days; an unknown key is looked up sooner.
KEYS_SECONDS = 3_600.0
# Tokens with invented key ids must not make us hammer a provider.
REFRESH_SECONDS_MIN = 10.0
# One that did not answer is asked again soon, once for all who wait.
RETRY_SECONDS_MIN = 1.0


class SigningKeys:
    """The keys of one issuer. The newest signs, all verify; `jwks` is all of them in public (RFC 7517 §5)."""

    def __init__(self, keys: Sequence[rsa.RSAPrivateKey]) -> None:
        self._verifying = {
            _kid(key.public_key()): VerifyingKey(key=key.public_key(), algorithms=[ALGORITHM]) for key in keys
        }
        self._newest, self._newest_kid = keys[-1], _kid(keys[-1].public_key())
        # 64 bytes that whoever has the keys can compute, and nobody else.
        self.secret = hashlib.blake2b(_der(self._newest), person=b"secret").digest()
        self.jwks = msgspec.json.encode({"keys": [_jwk(key.public_key()) for key in keys]})

    @classmethod
    def load(cls, directory: Path) -> "SigningKeys":
        """The keys in this directory, a `.pem` file each, the newest last by name. Raises `SettingsError`.

        The first is made when there is none; of several processes that start at once one makes it, for all.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not any(directory.glob("*.pem")):
                _make_first(directory)
            return cls([_private(file) for file in sorted(directory.glob("*.pem"))])
        except OSError as failure:
            raise SettingsError(
                f"EVENTFEED_KEYS: signing keys cannot be kept in {directory}: {failure.strerror}. "
                "Name a directory that the service may read and write.",
            ) from None

    def sign(self, claims: Mapping[str, object]) -> str:
        """A JSON Web Token of these claims."""
        return jwt.PyJWS().encode(
            msgspec.json.encode(claims), self._newest, ALGORITHM, headers={"kid": self._newest_kid}
        )

    def key(self, kid: str) -> VerifyingKey | None:
        """The key with this id, None when it is not ours."""
        return self._verifying.get(kid)


class ProviderKeys:
    """A provider's keys: kept for an hour, looked up sooner for an unknown key id.

    A look-up is shared by all who wait for it. While the provider is silent known keys stay good.
    """

    def __init__(self, issuer: str, client: httpx.AsyncClient) -> None:
        self._issuer, self._client = issuer, client
        self._keys: Mapping[str, VerifyingKey] = {}
        self._looked = self._next_look = float("-inf")
        self._silence: Unavailable | None = None
        self._looking: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> VerifyingKey:
        """The key with this id. Raises `Unauthenticated` for an unknown one, `Unavailable` when nobody can say."""
        if self._wants_look(kid):
            self._looking = self._looking or asyncio.create_task(self._look())
            # With a known key there is no need to wait for a provider that was silent the last time.
            if kid not in self._keys or self._silence is None:
                await asyncio.shield(self._looking)
        if (key := self._keys.get(kid)) is not None:
            return key
        if self._silence is not None:
            raise Unavailable(str(self._silence), retry_seconds=self._silence.retry_seconds)
        raise Unauthenticated("The token is signed with a key that its issuer does not publish.")

    def _wants_look(self, kid: str) -> bool:
        now = asyncio.get_running_loop().time()
        return now >= self._next_look and (kid not in self._keys or now >= self._looked + KEYS_SECONDS)

    async def _look(self) -> None:
        clock, pause = asyncio.get_running_loop().time, REFRESH_SECONDS_MIN
        try:
            self._keys, self._silence = await published_keys(self._issuer, self._client), None
            self._looked = clock()
        except Unavailable as silence:
            self._silence, pause = silence, RETRY_SECONDS_MIN
        finally:
            self._next_look, self._looking = clock() + pause, None


def _make_first(directory: Path) -> None:
    """Write a key under a name of its own, then link it to the name that all agree on: only one link succeeds."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS_MIN)
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
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < RSA_BITS_MIN:
        raise SettingsError(
            f"EVENTFEED_KEYS: {file} is no RSA private key of {RSA_BITS_MIN} bits or more, in PEM and unencrypted. "
            "Replace it, or remove it: tokens that it signed are then refused.",
        )
    return key


def _der(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _kid(key: rsa.RSAPublicKey) -> str:
    """An id that no other key has, so that nobody who remembers an older key mistakes this one for it."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:16]


def _jwk(key: rsa.RSAPublicKey) -> Mapping[str, object]:
    return {**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": _kid(key), "use": "sig", "alg": ALGORITHM}
