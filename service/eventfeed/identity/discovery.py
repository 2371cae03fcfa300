"""Discovery: where an issuer's keys are, and fetching them with bounds (OpenID Connect Discovery 1.0, RFC 8414)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeVar

import httpx
import msgspec

from eventfeed.domain.errors import Unavailable
from eventfeed.identity.signatures import VerifyingKey, verifying_key
from eventfeed.settings import loopback
from eventfeed.telemetry.tracing import CLIENT, doing

# A provider has a handful of keys, each some hundred bytes, or a few thousand with certificates.
KEYS_MAX = 50
DOCUMENT_BYTES_MAX = 256 * 1024
# A document; a look-up is at most three of them, and the caller waits.
FETCH_SECONDS_MAX = 5.0
# The client fails oddly on one beyond.
PORT_MAX = 65_535
# A provider that is down stays so for some seconds.
RETRY_SECONDS = 5

D = TypeVar("D")


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What we need of an issuer's discovery document."""

    issuer: str
    jwks_uri: str


class Discovery(Metadata, frozen=True, kw_only=True):
    """What our own issuers tell of themselves (OpenID Connect Discovery 1.0 §3)."""

    response_types_supported: Sequence[str] = ("token",)
    subject_types_supported: Sequence[str] = ("public",)
    id_token_signing_alg_values_supported: Sequence[str] = ("RS256",)


class _KeySet(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON Web Key Set (RFC 7517 §5)."""

    keys: Sequence[dict[str, object]]


async def published_keys(issuer: str, client: httpx.AsyncClient) -> Mapping[str, VerifyingKey]:
    """An issuer's keys by their ids. Raises `Unavailable` unless it answers, as itself, with at least one."""
    with doing("verify keys", kind=CLIENT):
        return await _published_keys(issuer, client)


async def _published_keys(issuer: str, client: httpx.AsyncClient) -> Mapping[str, VerifyingKey]:
    found = _decoded(await _discovered(issuer, client), Metadata)
    if found.issuer != issuer:
        raise _silence("The token provider's discovery document names another issuer.")
    published = _decoded(await _fetched(found.jwks_uri, client), _KeySet).keys[:KEYS_MAX]
    keys = {kid: key for jwk in published if isinstance(kid := jwk.get("kid"), str) and (key := verifying_key(jwk))}
    if not keys:
        raise _silence("The token provider publishes no key that can be used.")
    return keys


async def _discovered(issuer: str, client: httpx.AsyncClient) -> bytes:
    """The discovery document where OpenID Connect puts it, else where RFC 8414 §3 does, as Maskinporten's is."""
    scheme, _, place = issuer.rstrip("/").partition("://")
    host, slash, path = place.partition("/")
    return await _fetched(f"{scheme}://{place}/.well-known/openid-configuration", client) or await _fetched(
        f"{scheme}://{host}/.well-known/oauth-authorization-server{slash}{path}", client
    )


async def _fetched(url: str, client: httpx.AsyncClient) -> bytes:
    """A document, bounded in bytes and time; empty when there is none (4xx)."""
    if not _safe(url):
        raise _silence("The token provider's addresses must be https.")
    asked = client.stream("GET", url, headers={"Accept-Encoding": "identity"}, follow_redirects=False)
    body = bytearray()
    try:
        async with asyncio.timeout(FETCH_SECONDS_MAX), asked as answer:
            if answer.is_client_error:
                return b""
            answer.raise_for_status()
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise _silence("The token provider compresses its answer, which hides how large it is.")
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > DOCUMENT_BYTES_MAX:
                    raise _silence("The token provider's answer is too large.")
    except (httpx.HTTPError, TimeoutError) as failure:
        raise _silence("The token provider does not answer.") from failure
    return bytes(body)


def _safe(url: str) -> bool:
    """Whether keys may come from there: what travels in the clear proves nothing, except on this machine."""
    try:
        parts = httpx.URL(url)
        host, port = parts.host, parts.port or 0
    except (httpx.InvalidURL, ValueError):
        return False
    private = parts.scheme == "https" or (parts.scheme == "http" and loopback(host))
    return private and host != "" and port <= PORT_MAX


def _decoded(body: bytes, kind: type[D]) -> D:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
        raise _silence("The token provider does not answer as it should.") from failure


def _silence(detail: str) -> Unavailable:
    return Unavailable(detail, retry_seconds=RETRY_SECONDS)
