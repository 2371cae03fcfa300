"""Discovery: find an issuer's keys and fetch them, within bounds (OpenID Connect Discovery 1.0, RFC 8414)."""

import logging
from collections.abc import Sequence
from typing import TypeVar

import httpx
import msgspec

from eventfeed.bounded_fetch import RETRY_SECONDS, fetch
from eventfeed.domain.errors import Unavailable
from eventfeed.identity.signatures import Keys, verifying_key
from eventfeed.network import is_loopback
from eventfeed.telemetry.telemetry import Telemetry

# A provider has a handful of keys, each some hundred bytes, or a few thousand with certificates.
KEYS_MAX = 50
DOCUMENT_BYTES_MAX = 256 * 1024
# The HTTP client raises other errors for a larger one.
PORT_MAX = 65_535

_SERVICE = "The token provider"

_log = logging.getLogger(__name__)

D = TypeVar("D")


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The members of an issuer's discovery document that are needed."""

    issuer: str
    jwks_uri: str


class Discovery(Metadata, frozen=True, kw_only=True):
    """The discovery document of our own issuers (OpenID Connect Discovery 1.0 §3)."""

    response_types_supported: Sequence[str] = ("token",)
    subject_types_supported: Sequence[str] = ("public",)
    id_token_signing_alg_values_supported: Sequence[str] = ("RS256",)


class KeySet(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON Web Key Set (RFC 7517 §5)."""

    keys: Sequence[dict[str, object]]


async def fetch_keys(issuer: str, client: httpx.AsyncClient, *, telemetry: Telemetry) -> Keys:
    """Return an issuer's keys by their ids. Raises `Unavailable` if none can be had from a document of this issuer."""
    with telemetry.client_span("verify keys"):
        metadata = _decode(await _fetch_metadata(issuer, client), Metadata)
        if metadata.issuer != issuer:
            raise _unavailable("The token provider's discovery document names another issuer.")
        jwks = _decode(await _fetch(metadata.jwks_uri, client), KeySet).keys
    if len(jwks) > KEYS_MAX:
        _log.warning(
            "%s publishes %d keys; the %d after the first %d are not used",
            issuer,
            len(jwks),
            len(jwks) - KEYS_MAX,
            KEYS_MAX,
        )
    keys: Keys = {
        kid: key for jwk in jwks[:KEYS_MAX] if isinstance(kid := jwk.get("kid"), str) and (key := verifying_key(jwk))
    }
    if not keys:
        raise _unavailable("The token provider publishes no usable key.")
    return keys


async def _fetch_metadata(issuer: str, client: httpx.AsyncClient) -> bytes:
    """Return the discovery document at the path of OpenID Connect, else of RFC 8414 §3, as Maskinporten's is."""
    scheme, _, location = issuer.rstrip("/").partition("://")
    host, slash, path = location.partition("/")
    return await _fetch(f"{scheme}://{location}/.well-known/openid-configuration", client) or await _fetch(
        f"{scheme}://{host}/.well-known/oauth-authorization-server{slash}{path}", client
    )


async def _fetch(url: str, client: httpx.AsyncClient) -> bytes:
    """Return a document, or nothing if there is none (4xx)."""
    if not _is_safe(url):
        raise _unavailable("The token provider's URLs must be https.")
    document = await fetch(client, client.build_request("GET", url), service=_SERVICE, bytes_max=DOCUMENT_BYTES_MAX)
    if httpx.codes.is_client_error(document.status):
        return b""
    if not document.is_success:
        raise _unavailable(f"{_SERVICE} does not respond as it should, but with {document.status}.")
    return document.body


def _is_safe(url: str) -> bool:
    """True if keys may be fetched from this URL: by https, or from this machine."""
    try:
        parts = httpx.URL(url)
        host, port = parts.host, parts.port or 0
    except (httpx.InvalidURL, ValueError):
        return False
    is_private = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    return is_private and host != "" and port <= PORT_MAX


def _decode(body: bytes, kind: type[D]) -> D:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
        raise _unavailable("The token provider's response cannot be read.") from failure


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(detail, retry_seconds=RETRY_SECONDS)
