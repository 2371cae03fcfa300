"""Signatures: the keys and algorithms that are accepted."""

import base64
import hmac
import time
from collections.abc import Mapping

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from eventfeed.domain.errors import Unauthenticated
from eventfeed.identity.signatures import TOKEN_BYTES_MAX, VerifyingKey, key_id, signed_payload, verifying_key
from tests.service.identity.provider_double import CURVES, PrivateKey, curve_key, jwk_of, rsa_key

RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
PAYLOAD = b'{"a":1}'


def sign(key: PrivateKey, algorithm: str) -> str:
    """Return a token with a key id."""
    return jwt.PyJWS().encode(PAYLOAD, key, algorithm, headers={"kid": "k"})


def accepted_key(key: PrivateKey, **members: object) -> VerifyingKey:
    """Return the key as it is read from a key set."""
    result = verifying_key(jwk_of(key, **members))
    assert result is not None
    return result


def number(value: int) -> str:
    """Return a number as a member of a key."""
    return jwt.utils.to_base64url_uint(value).decode()


@pytest.mark.parametrize("algorithm", RSA_ALGORITHMS)
@pytest.mark.parametrize("has_alg", [True, False])
def test_rsa_key_verifies_its_algorithm(algorithm: str, has_alg: bool) -> None:  # noqa: FBT001  # a parameter
    """RFC 7517 §4.4 makes `alg` optional."""
    key = accepted_key(rsa_key("one"), alg=algorithm if has_alg else None)

    assert PAYLOAD == signed_payload(sign(rsa_key("one"), algorithm), key)


def test_rsa_key_in_base64_with_padding_is_accepted() -> None:
    """Altinn publishes its keys like this (src/Authentication/Controllers/OpenIdController.cs), without `alg`."""
    numbers = rsa_key("one").public_key().public_numbers()
    members = {
        name: base64.b64encode(value.to_bytes((value.bit_length() + 7) // 8)).decode()
        for name, value in {"n": numbers.n, "e": numbers.e}.items()
    }

    assert {"+", "/"} & set(members["n"])
    assert PAYLOAD == signed_payload(sign(rsa_key("one"), "RS256"), accepted_key(rsa_key("one"), **members, x5c=["M="]))


@pytest.mark.parametrize("algorithm", CURVES)
def test_curve_key_verifies_the_algorithm_of_its_curve(algorithm: str) -> None:
    """RFC 7518 §3.4 assigns ES256 to P-256, and so on."""
    key = accepted_key(curve_key(algorithm))

    assert PAYLOAD == signed_payload(sign(curve_key(algorithm), algorithm), key)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (accepted_key(rsa_key("one"), alg="RS256"), "RS512"),
        (accepted_key(rsa_key("one"), alg="RS256"), "PS256"),
        (accepted_key(rsa_key("two")), "RS256"),
        (accepted_key(curve_key("ES256")), "RS256"),
    ],
    ids=["another hash", "another padding", "another key", "another kind of key"],
)
def test_key_rejects_other_signatures(key: VerifyingKey, algorithm: str) -> None:
    """The key determines the algorithm, not the token."""
    with pytest.raises(Unauthenticated):
        signed_payload(sign(rsa_key("one"), algorithm), key)


def test_token_signed_with_the_public_key_as_secret_is_rejected() -> None:
    """The name HS256 is rejected, and so is the signature itself."""
    pem = (
        rsa_key("one")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    text = b".".join(jwt.utils.base64url_encode(part) for part in (b'{"alg":"HS256","kid":"k"}', PAYLOAD))
    signature = jwt.utils.base64url_encode(hmac.digest(pem, text, "sha256"))
    forgery = b".".join((text, signature)).decode()

    with pytest.raises(Unauthenticated, match="not accepted"):
        key_id(forgery)
    with pytest.raises(Unauthenticated):
        signed_payload(forgery, accepted_key(rsa_key("one")))


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "RSA", "n": 1, "e": "AQAB"},
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
        RSAAlgorithm.to_jwk(rsa_key("one"), as_dict=True),
        jwk_of(rsa_key("short", 1024)),
        jwk_of(rsa_key("one"), use="enc"),
        jwk_of(rsa_key("one"), alg="RSA-OAEP"),
        jwk_of(rsa_key("one"), alg="ES256"),
        jwk_of(rsa_key("one"), alg="HS256"),
        jwk_of(rsa_key("one"), alg=["RS256"]),
        jwk_of(curve_key("ES256"), alg="ES384"),
        jwk_of(curve_key("ES256"), crv="P-384"),
        jwk_of(ec.generate_private_key(ec.SECP256K1())),
        jwk_of(rsa_key("one"), n=number(2**8_193 + 1)),
        jwk_of(rsa_key("one"), e=number(2**33 + 1)),
        jwk_of(rsa_key("one"), e=number(1)),
        jwk_of(rsa_key("one"), e=number(65_536)),
        jwk_of(rsa_key("one"), n=""),
        jwk_of(curve_key("ES256"), x="A" * 100_000),
        jwk_of(curve_key("ES256"), x=jwk_of(curve_key("ES256"))["y"]),
        jwk_of(curve_key("ES256"), d="AQAB"),
        jwk_of(curve_key("ES256"), crv="Ed25519", kty="OKP"),
        {"kty": "RSA", "x5c": ["MIIB" * 10_000]},
    ],
    ids=[
        *("empty", "number", "secret", "private", "short", "for encryption", "encryption algorithm"),
        *("another kind's algorithm", "secret's algorithm", "algorithms", "another curve's algorithm", "another curve"),
        *("unregistered curve", "long", "long exponent", "exponent 1", "even exponent", "no modulus"),
        *("long point", "point beside the curve", "private point", "edwards curve", "certificates alone"),
    ],
)
def test_unusable_key_is_not_accepted(jwk: Mapping[str, object]) -> None:
    """Secret, private, short and invalid keys are skipped."""
    assert verifying_key(jwk) is None


def test_private_key_of_20000_bits_costs_nothing() -> None:
    """A private exponent makes a library compute the factors, which takes minutes for a modulus of this size."""
    members = {"kty": "RSA", "n": number(2**20_000 - 1), "e": "AQAB", "d": number(2**19_999 + 1)}
    start = time.process_time()
    keys = [verifying_key(members), verifying_key({**members, "d": None})]

    assert [None, None] == keys
    assert time.process_time() - start < 0.5


def test_certificates_beside_a_key_are_ignored() -> None:
    """`x5c` and `x5u` are not read: the key itself comes from its issuer."""
    key = accepted_key(rsa_key("one"), x5c=["nonsense"], x5u="https://evil.example.com/")

    assert PAYLOAD == signed_payload(sign(rsa_key("one"), "RS256"), key)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "none", "kid": "k"}, "not accepted"),
        ({"alg": "None", "kid": "k"}, "not accepted"),
        ({"alg": "HS256", "kid": "k"}, "not accepted"),
        ({"alg": ["RS256"], "kid": "k"}, "not accepted"),
        ({"kid": "k"}, "not accepted"),
        ({"alg": "RS256"}, "no key id"),
        ({"alg": "RS256", "kid": 1}, "not a JSON Web Token"),
        ({"alg": "RS256", "kid": "k", "crit": ["exp"]}, "not a JSON Web Token"),
        ({"alg": "RS256", "kid": "k", "typ": "logout+jwt"}, "not an access token"),
        ({"alg": "RS256", "kid": "k", "typ": None}, "not an access token"),
    ],
    ids=str,
)
def test_header_of_another_kind_of_token_is_rejected(header: Mapping[str, object], reason: str) -> None:
    """The rejection comes before a request for keys."""
    text = b".".join(jwt.utils.base64url_encode(part) for part in (msgspec.json.encode(header), PAYLOAD, b"seal"))

    with pytest.raises(Unauthenticated, match=reason):
        key_id(text.decode())


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_header_with_an_access_token_type_is_accepted(typ: str) -> None:
    """RFC 9068 §2.1 defines the type, which is compared without case."""
    token = jwt.PyJWS().encode(PAYLOAD, rsa_key("one"), "RS256", headers={"kid": "k", "typ": typ})

    assert "k" == key_id(token)


def test_deep_header_is_rejected() -> None:
    """The header is parsed before the signature is verified."""
    text = b'{"alg":"RS256","kid":"k","x":' + b"[" * 9_000
    token = b".".join(jwt.utils.base64url_encode(part) for part in (text, PAYLOAD, b"seal")).decode()

    with pytest.raises(Unauthenticated):
        key_id(token)
    with pytest.raises(Unauthenticated):
        signed_payload(token, accepted_key(rsa_key("one")))


def test_token_above_the_maximum_length_is_rejected() -> None:
    """The token is not decoded."""
    with pytest.raises(Unauthenticated, match="too long"):
        key_id("x" * (TOKEN_BYTES_MAX + 1))


@settings(deadline=None)
@given(st.text() | st.lists(st.binary(max_size=40), max_size=4).map(lambda parts: ".".join(map(_segment, parts))))
def test_arbitrary_text_is_rejected_as_a_token(text: str) -> None:
    """No text causes another exception."""
    with pytest.raises(Unauthenticated):
        signed_payload(text, accepted_key(rsa_key("one")))
    with pytest.raises(Unauthenticated):
        key_id(text)


@settings(deadline=None)
@given(st.data())
def test_token_with_one_changed_character_is_rejected(data: st.DataObject) -> None:
    """The character is in the header, the claims, the signature or a separator."""
    token = sign(rsa_key("one"), "RS256")
    index = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda letter: letter != token[index]))

    with pytest.raises(Unauthenticated):
        signed_payload(token[:index] + other + token[index + 1 :], accepted_key(rsa_key("one")))


def _segment(part: bytes) -> str:
    return jwt.utils.base64url_encode(part).decode()
