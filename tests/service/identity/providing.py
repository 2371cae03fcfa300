"""A token provider at the wire: what it publishes, what it signs, and how often it was asked."""

import asyncio
import functools
from collections.abc import Mapping

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from eventfeed.identity.keys import ProviderKeys
from eventfeed.identity.tokens import Provider

ISSUER = "https://maskinporten.example.no/"
AUDIENCE = "https://eventfeed.example.no"
# 2027-01-15, in seconds and in the clock's microseconds.
SECOND = 1_800_000_000
NOW = SECOND * 1_000_000

CURVES: Mapping[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@functools.cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key, the same for the same name."""
    assert name
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@functools.cache
def curve_key(algorithm: str) -> ec.EllipticCurvePrivateKey:
    """A key of the curve that this algorithm signs on."""
    return ec.generate_private_key(CURVES[algorithm])


def jwk_of(key: PrivateKey, **members: object) -> Mapping[str, object]:
    """The public half as a JSON Web Key; a member that is None is left out."""
    public = (
        RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        if isinstance(key, rsa.RSAPrivateKey)
        else ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    )
    described = {**public, "use": "sig", **members}
    return {name: value for name, value in described.items() if value is not None}


def claims(**changes: object) -> dict[str, object]:
    """What Maskinporten says of Testdepartementet; a claim that is None is left out."""
    usual: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "scope": "altinn:events/ttd altinn:events.publish",
        "client_id": "5f6d7e8a",
        "client_amr": "private_key_jwt",
        "token_type": "Bearer",
        "consumer": {"authority": "iso6523-actorid-upis", "ID": "0192:991825827"},
        "jti": "a1",
        "iat": SECOND - 20,
        "exp": SECOND + 100,
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


class Double:
    """Answers as a provider does. Change `keys`, `documents`, `silent` or `open_` to make it behave otherwise."""

    def __init__(self, issuer: str = ISSUER) -> None:
        self.issuer = issuer
        self.keys: dict[str, PrivateKey] = {"key-1": rsa_key("one")}
        self.documents: dict[str, httpx.Response] = {}
        self.silent = False
        self.open_ = asyncio.Event()
        self.open_.set()
        self.asked: list[str] = []
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    @property
    def looks(self) -> int:
        """How often the keys were asked for."""
        return sum(url.endswith("/jwk") for url in self.asked)

    def provider(self, *accepted: str) -> Provider:
        """This provider as the exchange knows it."""
        keys = ProviderKeys(self.issuer, self.client)
        return Provider(issuer=self.issuer, keys=keys, accepted=frozenset(accepted or [AUDIENCE]))

    def token(self, **changes: object) -> str:
        """What Maskinporten gives Testdepartementet; a claim that is None is left out."""
        return self.signed(claims(**changes), kid="key-1")

    def signed(self, said: Mapping[str, object], *, kid: str) -> str:
        """A token of these claims, signed with the RSA key of this id."""
        return jwt.PyJWS().encode(msgspec.json.encode(said), self.keys[kid], "RS256", headers={"kid": kid})

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        await self.open_.wait()
        if self.silent:
            raise httpx.ConnectError("refused", request=request)
        if (prepared := self.documents.get(request.url.path)) is not None:
            return prepared
        if request.url.path == "/.well-known/oauth-authorization-server":
            return httpx.Response(200, json={"issuer": self.issuer, "jwks_uri": f"{ISSUER}jwk"})
        if request.url.path == "/jwk":
            return httpx.Response(200, json={"keys": [jwk_of(key, kid=kid) for kid, key in self.keys.items()]})
        return httpx.Response(404)
