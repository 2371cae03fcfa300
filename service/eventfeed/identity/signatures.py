"""Signatures: the keys and algorithms that are accepted, and their verification (RFC 7515, RFC 7517, RFC 7518)."""

from collections.abc import Mapping, Sequence
from itertools import chain

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from eventfeed.domain.errors import Unauthenticated

# RFC 7518 §3.3: a shorter key must not be used. NIST SP 800-57: this length is good until 2030.
RSA_BITS_MIN = 2048
# Far larger than any real token: to verify more would only cost.
TOKEN_BYTES_MAX = 16 * 1024

# By type of key: no algorithm with a shared secret, and never `none`.
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Mapping[str, Sequence[str]] = {"secp256r1": ["ES256"], "secp384r1": ["ES384"], "secp521r1": ["ES512"]}
_ALGORITHMS = (*_RSA, *chain.from_iterable(_CURVES.values()))


class VerifyingKey(msgspec.Struct, frozen=True, kw_only=True):
    """A public key and the algorithms it verifies. The key decides, not the token (RFC 8725 §3.1)."""

    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    algorithms: Sequence[str]


def verifying_key(jwk: Mapping[str, object]) -> VerifyingKey | None:
    """Return a JSON Web Key as a verifying key, None if it is not accepted (RFC 7517 §4)."""
    try:
        key = jwt.PyJWK(dict(jwk)).key
    except (jwt.PyJWTError, TypeError, ValueError):
        return None
    possible: Sequence[str] = ()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS_MIN:
        possible = _RSA
    elif isinstance(key, ec.EllipticCurvePublicKey):
        possible = _CURVES.get(key.curve.name, ())
    alg = jwk.get("alg")
    algorithms = [algorithm for algorithm in possible if alg in (None, algorithm)]
    if not algorithms or jwk.get("use", "sig") != "sig":
        return None
    return VerifyingKey(key=key, algorithms=algorithms)


def key_id(token: str) -> str:
    """Return the key id in a token's header. Raises `Unauthenticated` unless that is the header of an access token."""
    if len(token) > TOKEN_BYTES_MAX:
        raise Unauthenticated("The token is too long.")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError):
        raise Unauthenticated("The token is not a JSON Web Token.") from None
    if header.get("alg") not in _ALGORITHMS:
        raise Unauthenticated("The token is signed with an algorithm that is not accepted.")
    # RFC 9068 §2.1: the type of an access token is `at+jwt`; many issuers write `JWT` or nothing.
    if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in ("jwt", "at+jwt"):
        raise Unauthenticated("The token is not an access token.")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise Unauthenticated("The token's header has no key id.")
    return kid


def signed_payload(token: str, key: VerifyingKey) -> bytes:
    """Return the signed payload. Raises `Unauthenticated` unless the signature is of this key and its algorithms."""
    try:
        payload: bytes = jwt.PyJWS().decode(token, key.key, algorithms=key.algorithms)
    except (jwt.PyJWTError, ValueError):
        raise Unauthenticated("The token's signature is invalid.") from None
    return payload
