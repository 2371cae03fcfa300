"""A double of the platform's own issuer on loopback: discovery document, keys and tokens as Altinn writes them."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

PATH = "/authentication/api/v1/openid/"
DISCOVERY = f"{PATH}.well-known/openid-configuration"


class PlatformIssuer:
    """An issuer: its URL, its tokens, and the paths of the requests that came. `name` is the issuer in its document."""

    def __init__(self, address: str) -> None:
        self.url = self.name = f"{address}{PATH}"
        self.paths: list[str] = []
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def document(self, path: str) -> Mapping[str, object] | None:
        """Return the JSON document at a path."""
        self.paths.append(path)
        if path == DISCOVERY:
            return {"issuer": self.name, "jwks_uri": f"{self.url}.well-known/openid-configuration/jwks"}
        numbers = self._key.public_key().public_numbers()
        members = {"n": _base64(numbers.n), "e": _base64(numbers.e)}
        key = {"kty": "RSA", "use": "sig", "kid": "A1B2C3", "x5c": ["MII="], **members}
        return {"keys": [key]} if path == f"{DISCOVERY}/jwks" else None

    def organisation_token(self, number: str, scope: str, **changes: object) -> str:
        """Return a token of an organisation, as the platform's exchange makes it."""
        claims = {
            "consumer": {"authority": "iso6523-actorid-upis", "ID": f"0192:{number}"},
            "urn:altinn:orgNumber": number,
            "urn:altinn:authenticatemethod": "maskinporten",
            "urn:altinn:authlevel": 3,
        }
        return self.sign({"scope": scope, "client_id": "c", **claims, **changes})

    def person_token(self, user: str, party: str, **changes: object) -> str:
        """Return a token of a person, as the platform's exchange makes it. It has the person number."""
        claims = {
            "urn:altinn:userid": user,
            "urn:altinn:partyid": int(party),
            "urn:altinn:authenticatemethod": "BankID",
            "urn:altinn:authlevel": 4,
            "pid": "01838012345",
        }
        return self.sign({"scope": "openid", "client_id": "c", **claims, **changes})

    def system_user_token(self, uuid: str, owner: str, *, vendor: str, scope: str) -> str:
        """Return a token of a system user, which has the number of its vendor."""
        organisation = {"authority": "iso6523-actorid-upis", "ID": f"0192:{owner}"}
        details = {"type": "urn:altinn:systemuser", "systemuser_id": [uuid], "systemuser_org": organisation}
        return self.organisation_token(vendor, scope, authorization_details=details)

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return a token of these claims, valid for some minutes."""
        now = int(time.time())
        frame = {"iss": self.url, "nbf": now - 5, "iat": now - 5, "exp": now + 600}
        return jwt.encode({**frame, **claims}, self._key, "RS256", headers={"kid": "A1B2C3", "x5t": "obs"})


def _base64(value: int) -> str:
    """Return a number in base64 with padding, in which Altinn publishes its keys."""
    return base64.b64encode(value.to_bytes((value.bit_length() + 7) // 8)).decode()


@contextmanager
def platform_issuer() -> Iterator[PlatformIssuer]:
    """Run an issuer while the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    issuer = server.issuer = PlatformIssuer(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]  # for the handler
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        document = self.server.issuer.document(self.path)  # type: ignore[attr-defined]  # see `platform_issuer`
        body = json.dumps(document).encode()
        self.send_response(200 if document else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""
