"""Public keys of app tokens: in files of a directory or below an https address."""

import base64
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import RSAAlgorithm

from eventfeed.domain.errors import Unavailable
from eventfeed.identity import app_keys as module
from eventfeed.identity.app_keys import KeyAddress, KeyDirectory, issuer_keys
from eventfeed.identity.discovery import DOCUMENT_BYTES_MAX
from eventfeed.identity.signatures import ATTEMPTS_MAX, Keys
from eventfeed.telemetry.telemetry import Telemetry
from tests.service.identity.provider_double import PrivateKey, curve_key, jwk_of, rsa_key
from tests.support.altinn_app import Certificate

ADDRESS = "https://keys.example.no/apps"
Handler = Callable[[httpx.Request], httpx.Response]


def pem(key: PublicKeyTypes) -> bytes:
    """A public key as PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_pem(key: PrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    """The public key as PEM."""
    return pem(key.public_key())


def key_set(*keys: Mapping[str, object]) -> bytes:
    """A JSON Web Key Set."""
    return msgspec.json.encode({"keys": keys})


async def in_directory(path: Path, *, issuer: str = "ttd") -> Keys:
    """The keys of an issuer in a directory."""
    return await issuer_keys(issuer, KeyDirectory(path), clock=time.time_ns)


async def at_address(handler: Handler) -> Keys:
    """The keys of `ttd` at an address."""
    client = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    return await issuer_keys("ttd", KeyAddress(f"{ADDRESS}/", client, telemetry=Telemetry()), clock=time.time_ns)


async def test_certificate_has_its_thumbprint_as_id(tmp_path: Path) -> None:
    """Tokens of apps have it in capital letters. Several certificates may stand in one file, for a rotation."""
    first, second = Certificate.make("first"), Certificate.make("second")
    (tmp_path / "ttd.pem").write_bytes(first.pem + b"\n" + second.pem)
    keys = await in_directory(tmp_path)

    assert [first.digest.hex().upper(), second.digest.hex().upper()] == list(keys)
    assert [first.key.public_key(), second.key.public_key()] == [each.key for each in keys.values()]


@pytest.mark.parametrize("key", [rsa_key("one"), curve_key("ES256"), curve_key("ES512")], ids=["rsa", "p256", "p521"])
async def test_public_key_has_no_id(tmp_path: Path, key: PrivateKey) -> None:
    """The algorithms are those of its kind."""
    (tmp_path / "ttd.pem").write_bytes(public_pem(key) + public_pem(rsa_key("two")))
    keys = await in_directory(tmp_path)

    assert [0, 1] == list(keys)
    assert [key.public_key(), rsa_key("two").public_key()] == [each.key for each in keys.values()]
    assert keys[1].algorithms == ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]


async def test_key_set_counts_before_a_pem_file(tmp_path: Path) -> None:
    """Keys with an id keep it, others are numbered."""
    (tmp_path / "ttd.pem").write_bytes(public_pem(rsa_key("two")))
    jwks = [jwk_of(rsa_key("one"), kid="one"), jwk_of(curve_key("ES256")), jwk_of(rsa_key("two"), kid=7)]
    (tmp_path / "ttd.jwks.json").write_bytes(key_set(*jwks))

    assert {"one", 0, 1} == (await in_directory(tmp_path)).keys()


async def test_issuer_without_a_file_has_no_keys(tmp_path: Path) -> None:
    """Another issuer's file does not count."""
    (tmp_path / "ttd.pem").write_bytes(public_pem(rsa_key("one")))

    assert {} == await in_directory(tmp_path, issuer="skd")
    assert {} == await at_address(lambda _: httpx.Response(404))


def expired_certificate(**validity: datetime | int) -> bytes:
    """A certificate that is not valid now."""
    start = validity.get("start")
    assert isinstance(start, datetime)
    return Certificate.make("old", start=start, days=1).pem


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        public_pem(rsa_key("short", 1024)),
        public_pem(rsa_key("long", 8448)),
        public_pem(ed25519.Ed25519PrivateKey.generate()),
        expired_certificate(start=datetime.now(UTC) - timedelta(days=3)),
        expired_certificate(start=datetime.now(UTC) + timedelta(days=3)),
    ],
    ids=["empty", "binary", "no key", "no certificate", "short", "long", "ed25519", "expired", "future"],
)
async def test_file_without_a_usable_key_is_unavailable(tmp_path: Path, content: bytes) -> None:
    """This is a fault of the operator: the app may try again."""
    (tmp_path / "ttd.pem").write_bytes(content)
    with pytest.raises(Unavailable) as failure:
        await in_directory(tmp_path)

    assert failure.value.retry_seconds >= 1


async def test_private_key_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It must not lie where public keys do. The log says so, the response does not."""
    key = rsa_key("one").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ttd.pem").write_bytes(Certificate.make("x").pem + key)
    with pytest.raises(Unavailable) as failure:
        await in_directory(tmp_path)

    assert "private key" in caplog.text
    assert "private" not in str(failure.value)
    assert base64.b64encode(key[30:60]).decode() not in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"keys": [1]}',
        b'{"keys": []}',
        b"\xff",
        b"[" * 99_999,
        key_set(jwk_of(rsa_key("one"), d="AQAB")),
        key_set({**jwk_of(rsa_key("one")), "n": "w" * 4_000}),
        key_set({"kty": "oct", "k": "c2VjcmV0"}),
    ],
)
async def test_key_set_without_a_usable_key_is_unavailable(tmp_path: Path, content: bytes) -> None:
    """Private members, large numbers and shared secrets are refused as in the key sets of providers."""
    (tmp_path / "ttd.jwks.json").write_bytes(content)
    with pytest.raises(Unavailable):
        await in_directory(tmp_path)


async def test_directory_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    """An issuer without a file is another case."""
    with pytest.raises(Unavailable):
        await in_directory(tmp_path / "missing")


async def test_pipe_and_large_file_are_unavailable(tmp_path: Path) -> None:
    """A pipe would never end."""
    os.mkfifo(tmp_path / "ttd.pem")
    (tmp_path / "skd.pem").write_bytes(b" " * (DOCUMENT_BYTES_MAX + 1))
    for issuer in ("ttd", "skd"):
        with pytest.raises(Unavailable):
            await in_directory(tmp_path, issuer=issuer)


async def test_keys_at_an_address_are_below_it() -> None:
    """The key set is requested first."""
    requests = list[str]()

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(str(request.url))
        is_pem = request.url.path.endswith(".pem")
        return httpx.Response(200, content=public_pem(rsa_key("one"))) if is_pem else httpx.Response(404)

    keys = await at_address(respond)

    assert [f"{ADDRESS}/ttd.jwks.json", f"{ADDRESS}/ttd.pem"] == requests
    assert [rsa_key("one").public_key()] == [each.key for each in keys.values()]


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(500),
        httpx.Response(403),
        httpx.Response(302, headers={"Location": f"{ADDRESS}/other"}),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b" " * (DOCUMENT_BYTES_MAX + 1)),
        httpx.Response(200, content=b"", headers={"Content-Encoding": "gzip"}),
        None,
    ],
    ids=["500", "403", "302", "html", "large", "gzip", "refused"],
)
async def test_address_without_an_answer_is_unavailable(response: httpx.Response | None) -> None:
    """Nothing but 404 and 410 says that an issuer has no keys."""

    def respond(request: httpx.Request) -> httpx.Response:
        if response is None:
            raise httpx.ConnectError("refused", request=request)
        return response

    with pytest.raises(Unavailable):
        await at_address(respond)


def public_keys(count: int) -> Sequence[rsa.RSAPublicKey]:
    """So many different public keys. Nobody has their private keys."""
    numbers = rsa_key("one").public_key().public_numbers()
    return [rsa.RSAPublicNumbers(numbers.e, numbers.n + 2 * index).public_key() for index in range(count)]


def large_set(count: int) -> bytes:
    """A key set of so many keys with ids."""
    keys = enumerate(public_keys(count))
    return key_set(*({**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": str(number)} for number, key in keys))


async def test_each_key_of_a_large_set_is_loaded(tmp_path: Path) -> None:
    """A token may name any of them."""
    (tmp_path / "ttd.jwks.json").write_bytes(large_set(module.ISSUER_KEYS_MAX))

    assert module.ISSUER_KEYS_MAX == len(await in_directory(tmp_path))


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("ttd.jwks.json", large_set(module.ISSUER_KEYS_MAX + 1), "101 keys"),
        ("ttd.pem", b"".join(map(pem, public_keys(module.ISSUER_KEYS_MAX + 1))), "101 keys"),
        ("ttd.pem", b"".join(map(pem, public_keys(ATTEMPTS_MAX + 1))), "11 keys without an id"),
    ],
    ids=["key set", "pem", "without ids"],
)
async def test_file_with_too_many_keys_is_unavailable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, content: bytes, reason: str
) -> None:
    """No key is dropped in silence: the log names the file."""
    (tmp_path / file).write_bytes(content)
    with pytest.raises(Unavailable):
        await in_directory(tmp_path)

    assert file in caplog.text
    assert reason in caplog.text


async def test_keys_with_the_same_id_are_all_loaded(tmp_path: Path) -> None:
    """RFC 7517 §4.5 permits it for keys of different kinds. Their id does not tell which one signed a token."""
    jwks = [jwk_of(rsa_key("one"), kid="a"), jwk_of(curve_key("ES256"), kid="a"), jwk_of(rsa_key("two"), kid="b")]
    (tmp_path / "ttd.jwks.json").write_bytes(key_set(*jwks))

    assert {0, 1, "b"} == (await in_directory(tmp_path)).keys()
