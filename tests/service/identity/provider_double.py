"""A double of a token provider at the wire: it publishes keys, signs tokens and records requests."""

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
from eventfeed.telemetry.telemetry import Telemetry

ISSUER = "https://maskinporten.example.no/"
AUDIENCE = "https://eventfeed.example.no"
# 2027-01-15, in seconds and in the clock's nanoseconds.
SECOND = 1_800_000_000
NOW = SECOND * 1_000_000_000

CURVES: Mapping[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@functools.cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return an RSA key, always the same one for a name."""
    assert name
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@functools.cache
def curve_key(algorithm: str) -> ec.EllipticCurvePrivateKey:
    """Return a key on the curve of this algorithm."""
    return ec.generate_private_key(CURVES[algorithm])


def jwk_of(key: PrivateKey, **members: object) -> Mapping[str, object]:
    """Return the public key as a JSON Web Key, without members that are None."""
    public = (
        RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        if isinstance(key, rsa.RSAPrivateKey)
        else ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    )
    jwk = {**public, "use": "sig", **members}
    return {name: value for name, value in jwk.items() if value is not None}


def claims(**changes: object) -> dict[str, object]:
    """Return the claims of Testdepartementet's Maskinporten token, without claims that are None."""
    defaults: dict[str, object] = {
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
    return {name: value for name, value in {**defaults, **changes}.items() if value is not None}


class ProviderDouble:
    """A provider. Its responses depend on `keys`, `documents` (by path), `is_down` and `gate`, which delays them."""

    def __init__(self, issuer: str = ISSUER) -> None:
        self.issuer = issuer
        self.keys: dict[str, PrivateKey] = {"key-1": rsa_key("one")}
        self.documents: dict[str, httpx.Response] = {}
        self.is_down = False
        self.gate = asyncio.Event()
        self.gate.set()
        # Set by the first request.
        self.arrival = asyncio.Event()
        self.requests: list[str] = []
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._respond))

    @property
    def key_requests(self) -> int:
        """The number of requests for the keys."""
        return sum(url.endswith("/jwk") for url in self.requests)

    def provider(self, *audiences: str) -> Provider:
        """Return this provider with the audiences that are accepted, as the exchange gets it."""
        keys = ProviderKeys(self.issuer, self.client, telemetry=Telemetry())
        return Provider(issuer=self.issuer, keys=keys, audiences=frozenset(audiences or [AUDIENCE]))

    def token(self, **changes: object) -> str:
        """Return Testdepartementet's token, without claims that are None."""
        return self.sign(claims(**changes), kid="key-1")

    def sign(self, payload: Mapping[str, object], *, kid: str) -> str:
        """Return a token of these claims, signed with the RSA key of this id."""
        return jwt.PyJWS().encode(msgspec.json.encode(payload), self.keys[kid], "RS256", headers={"kid": kid})

    async def _respond(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(str(request.url))
        self.arrival.set()
        await self.gate.wait()
        if self.is_down:
            raise httpx.ConnectError("refused", request=request)
        if (response := self.documents.get(request.url.path)) is not None:
            return response
        if request.url.path == "/.well-known/oauth-authorization-server":
            return httpx.Response(200, json={"issuer": self.issuer, "jwks_uri": f"{ISSUER}jwk"})
        if request.url.path == "/jwk":
            return httpx.Response(200, json={"keys": [jwk_of(key, kid=kid) for kid, key in self.keys.items()]})
        return httpx.Response(404)
