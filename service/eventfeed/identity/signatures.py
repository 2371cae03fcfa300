"""Signatures: the keys and algorithms that are accepted, and their verification (RFC 7515, RFC 7517, RFC 7518)."""

from collections.abc import Callable, Mapping, Sequence

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec.structs import replace

from eventfeed.domain.errors import Unauthenticated

# RFC 7518 §3.3: a shorter key must not be used. NIST SP 800-57: this length is good until 2030.
RSA_BITS_MIN = 2048
# Twice the longest in use. A token that is signed with it is verified in less than a millisecond.
RSA_BITS_MAX = 8192
# Far larger than any real token: to verify more would only cost.
TOKEN_BYTES_MAX = 16 * 1024
# A token that names no key of its issuer is verified with so many of them: each costs up to a millisecond.
ATTEMPTS_MAX = 10

# By type of key: no algorithm with a shared secret, and never `none`.
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Mapping[str, tuple[ec.EllipticCurve, str]] = {
    "P-256": (ec.SECP256R1(), "ES256"),
    "P-384": (ec.SECP384R1(), "ES384"),
    "P-521": (ec.SECP521R1(), "ES512"),
}
_ALGORITHMS = (*_RSA, *(algorithm for _, algorithm in _CURVES.values()))
# RFC 7518 §6.2.2, §6.3.2: a key that was published with one of them is secret no more.
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi"})
# Almost every key has 65537. A long exponent makes every verification slow.
_EXPONENT_BITS_MAX = 32
_BASE64URL = str.maketrans("+/", "-_")


class VerifyingKey(msgspec.Struct, frozen=True, kw_only=True):
    """A public key and the algorithms it verifies. The key decides, not the token (RFC 8725 §3.1)."""

    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    algorithms: Sequence[str]


# By their ids. A key without an id has a number, which no token can name.
Keys = Mapping[str | int, VerifyingKey]


def verifying_key(jwk: Mapping[str, object]) -> VerifyingKey | None:
    """Return a JSON Web Key as a verifying key, None if it is not accepted (RFC 7517 §4).

    Only its public members are read, and only if they are short: the cost of a key grows with the cube of its size.
    """
    members = {name: value for name, value in jwk.items() if isinstance(value, str)}
    if members.keys() & _PRIVATE_MEMBERS or jwk.get("use", "sig") != "sig":
        return None
    build = _BUILDERS.get(members.get("kty", ""))
    try:
        key = build(members) if build else None
    except (KeyError, TypeError, ValueError):
        return None
    algorithms = [algorithm for algorithm in key.algorithms if jwk.get("alg") in (None, algorithm)] if key else []
    return replace(key, algorithms=algorithms) if key and algorithms else None


def _rsa_key(members: Mapping[str, str]) -> VerifyingKey:
    """Return an RSA key (RFC 7518 §6.3.1). Raises `ValueError` if it is too short or too long."""
    modulus, exponent = _number(members["n"], bits_max=RSA_BITS_MAX), _number(members["e"], bits_max=_EXPONENT_BITS_MAX)
    if modulus.bit_length() < RSA_BITS_MIN:
        raise ValueError
    return VerifyingKey(key=rsa.RSAPublicNumbers(exponent, modulus).public_key(), algorithms=_RSA)


def _curve_key(members: Mapping[str, str]) -> VerifyingKey:
    """Return a key on an elliptic curve (RFC 7518 §6.2.1). Raises `ValueError` if its point is not on the curve."""
    curve, algorithm = _CURVES[members["crv"]]
    x, y = (_number(members[name], bits_max=curve.key_size) for name in ("x", "y"))
    return VerifyingKey(key=ec.EllipticCurvePublicNumbers(x, y, curve).public_key(), algorithms=[algorithm])


def _number(text: str, *, bits_max: int) -> int:
    """Return a number in base64url (RFC 7518 §2), or in base64 with padding, in which Altinn publishes its keys.

    Raises `ValueError` before decoding if the text is too long.
    """
    octets = (bits_max + 7) // 8
    if len(text.rstrip("=")) > (octets * 4 + 2) // 3:
        raise ValueError
    return int.from_bytes(jwt.utils.base64url_decode(text.translate(_BASE64URL)))


def key_id(token: str) -> str:
    """Return the key id in a token's header. Raises `Unauthenticated` as `token_header` does, or if there is none."""
    kid = token_header(token).get("kid")
    if not isinstance(kid, str):
        raise Unauthenticated("The token's header has no key id.")
    return kid


def token_header(token: str) -> Mapping[str, object]:
    """Return the header of a token. Raises `Unauthenticated` unless that is the header of an access token."""
    if len(token) > TOKEN_BYTES_MAX:
        raise Unauthenticated("The token is too long.")
    try:
        header: Mapping[str, object] = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise Unauthenticated("The token is not a JSON Web Token.") from None
    if header.get("alg") not in _ALGORITHMS:
        raise Unauthenticated("The token is signed with an algorithm that is not accepted.")
    # RFC 9068 §2.1: the type of an access token is `at+jwt`; many issuers write `JWT` or nothing.
    if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in ("jwt", "at+jwt"):
        raise Unauthenticated("The token is not an access token.")
    return header


def unverified_payload(token: str) -> bytes:
    """Return the payload, whoever signed it: to reject a token early. Raises `Unauthenticated`."""
    try:
        payload: bytes = jwt.PyJWS().decode_complete(token, options={"verify_signature": False})["payload"]
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise Unauthenticated("The token is not a JSON Web Token.") from None
    return payload


def signed_payload(token: str, key: VerifyingKey) -> bytes:
    """Return the signed payload. Raises `Unauthenticated` unless the signature is of this key and its algorithms."""
    try:
        payload: bytes = jwt.PyJWS().decode(token, key.key, algorithms=key.algorithms)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise Unauthenticated("The token's signature is invalid.") from None
    return payload


_BUILDERS: Mapping[str, Callable[[Mapping[str, str]], VerifyingKey]] = {"RSA": _rsa_key, "EC": _curve_key}
