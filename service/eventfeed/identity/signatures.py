"""Signatures: which keys count, what they may sign with, and the text they vouch for (RFC 7515, RFC 7517, RFC 7518)."""

from collections.abc import Mapping, Sequence
from itertools import chain

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from eventfeed.domain.errors import Unauthenticated

# RFC 7518 §3.3: a shorter key must not be used. NIST SP 800-57: this length is good until 2030.
RSA_BITS_MIN = 2048
# A token of this size is no token; verifying it would only cost.
TOKEN_BYTES_MAX = 16 * 1024

# By kind of key: nothing that shares a secret, and never `none`.
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Mapping[str, Sequence[str]] = {"secp256r1": ["ES256"], "secp384r1": ["ES384"], "secp521r1": ["ES512"]}
_ALGORITHMS = (*_RSA, *chain.from_iterable(_CURVES.values()))


class VerifyingKey(msgspec.Struct, frozen=True, kw_only=True):
    """A public key and the algorithms it verifies. The key decides, not the token (RFC 8725 §3.1)."""

    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    algorithms: Sequence[str]


def verifying_key(jwk: Mapping[str, object]) -> VerifyingKey | None:
    """What a JSON Web Key verifies; None for one that verifies no token of ours (RFC 7517 §4)."""
    try:
        key = jwt.PyJWK(dict(jwk)).key
    except (jwt.PyJWTError, TypeError, ValueError):
        return None
    fitting: Sequence[str] = ()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS_MIN:
        fitting = _RSA
    elif isinstance(key, ec.EllipticCurvePublicKey):
        fitting = _CURVES.get(key.curve.name, ())
    named = jwk.get("alg")
    algorithms = [algorithm for algorithm in fitting if named in (None, algorithm)]
    if not algorithms or jwk.get("use", "sig") != "sig":
        return None
    return VerifyingKey(key=key, algorithms=algorithms)


def key_id(token: str) -> str:
    """The key that a token says it is signed with. Raises `Unauthenticated` for what is no signed access token."""
    if len(token) > TOKEN_BYTES_MAX:
        raise Unauthenticated("The token is too long.")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError):
        raise Unauthenticated("The token is no JSON Web Token.") from None
    if header.get("alg") not in _ALGORITHMS:
        raise Unauthenticated("The token is not signed in an accepted way.")
    # RFC 9068 §2.1: an access token is `at+jwt`; many issuers say `JWT` or nothing.
    if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in ("jwt", "at+jwt"):
        raise Unauthenticated("The token is no access token.")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise Unauthenticated("The token does not name its key.")
    return kid


def signed_payload(token: str, key: VerifyingKey) -> bytes:
    """What was signed. Raises `Unauthenticated` when this key did not sign it, or not in a way that it may."""
    try:
        payload: bytes = jwt.PyJWS().decode(token, key.key, algorithms=key.algorithms)
    except (jwt.PyJWTError, ValueError):
        raise Unauthenticated("The token's signature is wrong.") from None
    return payload
