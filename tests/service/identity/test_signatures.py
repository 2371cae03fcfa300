"""Signatures: which keys count, and what they vouch for."""

import hmac
from collections.abc import Mapping

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from eventfeed.domain.errors import Unauthenticated
from eventfeed.identity.signatures import TOKEN_BYTES_MAX, VerifyingKey, key_id, signed_payload, verifying_key
from tests.service.identity.providing import CURVES, PrivateKey, curve_key, jwk_of, rsa_key

RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
PAYLOAD = b'{"a":1}'


def signed(key: PrivateKey, algorithm: str) -> str:
    """A token that names its key."""
    return jwt.PyJWS().encode(PAYLOAD, key, algorithm, headers={"kid": "k"})


def known(key: PrivateKey, **members: object) -> VerifyingKey:
    """The key as it is read from a key set."""
    found = verifying_key(jwk_of(key, **members))
    assert found is not None
    return found


@pytest.mark.parametrize("algorithm", RSA_ALGORITHMS)
@pytest.mark.parametrize("named", [True, False])
def test_an_rsa_key_verifies_what_it_is_for(algorithm: str, named: bool) -> None:  # noqa: FBT001  # a parameter
    """With or without `alg`, which RFC 7517 §4.4 leaves optional."""
    key = known(rsa_key("one"), alg=algorithm if named else None)

    assert PAYLOAD == signed_payload(signed(rsa_key("one"), algorithm), key)


@pytest.mark.parametrize("algorithm", CURVES)
def test_a_curve_verifies_the_algorithm_that_is_its_own(algorithm: str) -> None:
    """ES256 on P-256, and so on (RFC 7518 §3.4)."""
    key = known(curve_key(algorithm))

    assert PAYLOAD == signed_payload(signed(curve_key(algorithm), algorithm), key)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (known(rsa_key("one"), alg="RS256"), "RS512"),
        (known(rsa_key("one"), alg="RS256"), "PS256"),
        (known(rsa_key("two")), "RS256"),
        (known(curve_key("ES256")), "RS256"),
    ],
    ids=["another hash", "another padding", "another key", "another kind of key"],
)
def test_a_key_verifies_nothing_else(key: VerifyingKey, algorithm: str) -> None:
    """The key decides what it is good for, not the token."""
    with pytest.raises(Unauthenticated):
        signed_payload(signed(rsa_key("one"), algorithm), key)


def test_a_public_key_is_no_secret() -> None:
    """HS256 with the public key as its secret, the oldest trick, is neither looked at nor verified."""
    pem = (
        rsa_key("one")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    text = b".".join(jwt.utils.base64url_encode(part) for part in (b'{"alg":"HS256","kid":"k"}', PAYLOAD))
    seal = jwt.utils.base64url_encode(hmac.digest(pem, text, "sha256"))
    forged = b".".join((text, seal)).decode()

    with pytest.raises(Unauthenticated, match="not signed in an accepted way"):
        key_id(forged)
    with pytest.raises(Unauthenticated):
        signed_payload(forged, known(rsa_key("one")))


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
    ],
    ids=[
        *("empty", "number", "secret", "private", "short", "for encryption", "encryption algorithm"),
        *("another kind's algorithm", "secret's algorithm", "algorithms", "another curve's algorithm", "another curve"),
        "unregistered curve",
    ],
)
def test_a_key_that_cannot_be_trusted_is_none(jwk: Mapping[str, object]) -> None:
    """Secrets, private, short and broken keys verify nothing."""
    assert verifying_key(jwk) is None


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "none", "kid": "k"}, "accepted way"),
        ({"alg": "None", "kid": "k"}, "accepted way"),
        ({"alg": "HS256", "kid": "k"}, "accepted way"),
        ({"alg": ["RS256"], "kid": "k"}, "accepted way"),
        ({"kid": "k"}, "accepted way"),
        ({"alg": "RS256"}, "name its key"),
        ({"alg": "RS256", "kid": 1}, "no JSON Web Token"),
        ({"alg": "RS256", "kid": "k", "crit": ["exp"]}, "no JSON Web Token"),
        ({"alg": "RS256", "kid": "k", "typ": "logout+jwt"}, "no access token"),
        ({"alg": "RS256", "kid": "k", "typ": None}, "no access token"),
    ],
    ids=str,
)
def test_a_header_of_no_access_token_is_refused(header: Mapping[str, object], reason: str) -> None:
    """Before any key is looked for."""
    text = b".".join(jwt.utils.base64url_encode(part) for part in (msgspec.json.encode(header), PAYLOAD, b"seal"))

    with pytest.raises(Unauthenticated, match=reason):
        key_id(text.decode())


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_an_access_token_may_say_what_it_is(typ: str) -> None:
    """RFC 9068 §2.1, in any case."""
    token = jwt.PyJWS().encode(PAYLOAD, rsa_key("one"), "RS256", headers={"kid": "k", "typ": typ})

    assert "k" == key_id(token)


def test_a_token_without_end_is_not_read() -> None:
    """It costs a look at its length."""
    with pytest.raises(Unauthenticated, match="too long"):
        key_id("x" * (TOKEN_BYTES_MAX + 1))


@given(st.text() | st.lists(st.binary(max_size=40), max_size=4).map(lambda parts: ".".join(map(_segment, parts))))
def test_whatever_is_no_token_is_refused(text: str) -> None:
    """Nothing but a refusal comes of garbage, whatever it is made of."""
    with pytest.raises(Unauthenticated):
        signed_payload(text, known(rsa_key("one")))
    with pytest.raises(Unauthenticated):
        key_id(text)


@given(st.data())
def test_a_token_with_one_other_character_is_refused(data: st.DataObject) -> None:
    """Wherever it is: in the header, the claims, the signature or between them."""
    token = signed(rsa_key("one"), "RS256")
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda letter: letter != token[place]))

    with pytest.raises(Unauthenticated):
        signed_payload(token[:place] + other + token[place + 1 :], known(rsa_key("one")))


def _segment(part: bytes) -> str:
    return jwt.utils.base64url_encode(part).decode()
