"""Public keys of the issuers of app tokens: files of a directory or of an https address (contract section 4)."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import httpx
import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from eventfeed.bounded_fetch import RETRY_SECONDS, fetch
from eventfeed.bounded_read import read_file
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.ports import CLOCK_SECOND, Clock
from eventfeed.identity.discovery import DOCUMENT_BYTES_MAX, KeySet
from eventfeed.identity.signatures import ATTEMPTS_MAX, Keys, VerifyingKey, verifying_key
from eventfeed.telemetry.telemetry import Telemetry

# More than any issuer needs, and few enough to load at once.
ISSUER_KEYS_MAX = 100

_SETTING = "EVENTFEED_APP_TOKEN_KEYS"
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
# RFC 7468 §2.
_PEM_BLOCK = re.compile(rb"-----BEGIN [A-Z0-9 ]++-----[^-]++-----END [A-Z0-9 ]++-----")

# A part of file names and addresses.
_ISSUER = re.compile(r"[a-z0-9]{2,20}", re.ASCII)

_log = logging.getLogger(__name__)


class KeyFiles(Protocol):
    """Files with public keys, by their names."""

    async def read(self, name: str) -> bytes | None:
        """Return the content of a file, None if there is none. Raises `Unavailable` if that is unknown."""
        ...


class KeyDirectory:
    """The files of a directory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self, name: str) -> bytes | None:
        """See `KeyFiles.read`."""
        try:
            return await asyncio.to_thread(read_key_file, self._path / name)
        except (OSError, ValueError) as failure:
            reason = failure.strerror if isinstance(failure, OSError) else failure
            raise _unreadable(self._path / name, reason) from None


class KeyAddress:
    """The files below an https address."""

    def __init__(self, url: str, client: httpx.AsyncClient, *, telemetry: Telemetry) -> None:
        self._url, self._client, self._telemetry = url.rstrip("/"), client, telemetry

    async def read(self, name: str) -> bytes | None:
        """See `KeyFiles.read`."""
        service, request = "The source of app keys", self._client.build_request("GET", f"{self._url}/{name}")
        with self._telemetry.client_span("verify keys"):
            document = await fetch(self._client, request, service=service, bytes_max=DOCUMENT_BYTES_MAX)
        if document.is_success:
            return document.body
        if document.status in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
            return None
        raise _unreadable(f"{self._url}/{name}", f"status {document.status}")


async def issuer_keys(issuer: str, files: KeyFiles, *, clock: Clock) -> Keys:
    """Return the keys in `{issuer}.jwks.json`, or else in `{issuer}.pem`; none if there is no such file.

    Raises `Unavailable`.
    """
    for suffix in _PARSERS:
        content = await files.read(f"{issuer}{suffix}")
        if content is not None:
            try:
                return parse_keys(f"{issuer}{suffix}", content, now=clock())
            except ValueError as fault:
                raise _unreadable(f"{issuer}{suffix}", fault) from None
    return {}


def is_issuer(name: str) -> bool:
    """True if the name is that of an issuer, so that it may be part of a path."""
    return _ISSUER.fullmatch(name) is not None


def issuer_of(file: str) -> str | None:
    """Return the issuer whose keys are in a file of this name, None if the name does not end as those files do."""
    return next((file.removesuffix(suffix) for suffix in _PARSERS if file.endswith(suffix)), None)


def parse_keys(file: str, content: bytes, *, now: int) -> Keys:
    """Return the keys in the content of a file that are valid at `now` (ns). Raises `ValueError` if there is none."""
    return next(parse for suffix, parse in _PARSERS.items() if file.endswith(suffix))(content, now)


def read_key_file(path: Path) -> bytes | None:
    """Return the content of a file in a directory, None if it has none. Raises `OSError` and `ValueError`."""
    if not path.parent.is_dir():
        raise ValueError("the directory does not exist")
    return read_file(path, bytes_max=DOCUMENT_BYTES_MAX) if path.exists() else None


def _jwks_keys(content: bytes, _: int) -> Keys:
    """Return the keys of a JSON Web Key Set (RFC 7517 §5). Raises `ValueError` if it has no usable key."""
    try:
        jwks = msgspec.json.decode(content, type=KeySet).keys
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("it is no JSON Web Key Set") from None
    _require_few(len(jwks))
    return _by_id([(jwk.get("kid"), verifying_key(jwk)) for jwk in jwks])


def _pem_keys(content: bytes, now: int) -> Keys:
    """Return the public keys in a PEM file, and those of its certificates that are valid at `now` (ns).

    A certificate's key has the thumbprint as id, as in tokens of apps. Raises `ValueError` if there is no usable key.
    """
    if b"PRIVATE KEY-----" in content:
        raise ValueError("it has a private key, which must stay with the apps: put the public key or certificate here")
    moment = datetime.fromtimestamp(now / CLOCK_SECOND, UTC)
    blocks = _PEM_BLOCK.findall(content)
    _require_few(len(blocks))
    return _by_id([_pem_key(block, moment) for block in blocks])


def _pem_key(block: bytes, moment: datetime) -> tuple[str, VerifyingKey | None]:
    """Return the key of a certificate with its id, or a public key; None if it is not accepted or not valid."""
    try:
        if not block.startswith(_CERTIFICATE):
            return "", _public_key(load_pem_public_key(block))
        certificate = x509.load_pem_x509_certificate(block)
        is_valid = certificate.not_valid_before_utc <= moment < certificate.not_valid_after_utc
        thumbprint = certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303  # an id, no protection
        return thumbprint, _public_key(certificate.public_key()) if is_valid else None
    except (ValueError, UnsupportedAlgorithm):
        return "", None


def _public_key(key: object) -> VerifyingKey | None:
    """Return a public key if its kind and size are accepted in key sets too."""
    match key:
        case rsa.RSAPublicKey():
            return verifying_key(RSAAlgorithm.to_jwk(key, as_dict=True))
        case ec.EllipticCurvePublicKey():
            return verifying_key(ECAlgorithm.to_jwk(key, as_dict=True))
        case _:
            return None


def _require_few(count: int) -> None:
    if count > ISSUER_KEYS_MAX:
        raise ValueError(f"it has {count} keys, which is more than {ISSUER_KEYS_MAX}")


def _by_id(keys: Sequence[tuple[object, VerifyingKey | None]]) -> Keys:
    """Return the usable keys, those without an id of their own first, by numbers.

    Raises `ValueError` if there is none, or if there are more without an id than a token is verified with.
    """
    usable = [(kid, key) for kid, key in keys if key]
    counts = Counter(kid for kid, _ in usable if isinstance(kid, str) and kid)
    unnamed = [key for kid, key in usable if not (isinstance(kid, str) and counts[kid] == 1)]
    if not usable:
        raise ValueError("it has no public key that is valid and accepted")
    if len(unnamed) > ATTEMPTS_MAX:
        raise ValueError(f"it has {len(unnamed)} keys without an id of their own, which is more than {ATTEMPTS_MAX}")
    by_id: dict[str | int, VerifyingKey] = {number: key for number, key in enumerate(unnamed)}  # noqa: C416
    return by_id | {kid: key for kid, key in usable if isinstance(kid, str) and counts[kid] == 1}


def _unreadable(source: object, reason: object) -> Unavailable:
    _log.error("%s: %s cannot be used: %s", _SETTING, source, reason)
    return Unavailable("The public keys of app tokens cannot be read at the moment.", retry_seconds=RETRY_SECONDS)


# By the end of a file's name; the first one that exists counts.
_PARSERS: Mapping[str, Callable[[bytes, int], Keys]] = {".jwks.json": _jwks_keys, ".pem": _pem_keys}
