"""The fake providers of pulumi-tls and pulumi-random: a real RSA key and a real password, each made once."""

import secrets
import string
import uuid

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.infra.simulation.cloud import Refused
from tests.infra.simulation.provider import Difference, Provider, changed
from tests.infra.simulation.wire import UNKNOWN, Properties, reveal, secret


class _Made(Provider):
    """What is made once and lives in the state alone: any change makes it anew."""

    def difference(self, token: str, name: str, *, before: Properties, now: Properties) -> Difference:
        """Every change is a replacement."""
        found = changed(reveal(before), reveal(now))
        return Difference(changed=found, replaces=found)

    def update(self, token: str, address: str, *, inputs: Properties, preview: bool) -> Properties:
        """Never asked for."""
        raise Refused(f"{address} cannot be changed")

    def delete(self, token: str, address: str) -> None:
        """Nothing but the state knows of it."""


class Tls(_Made):
    """Private keys."""

    def create(self, token: str, inputs: Properties, *, preview: bool) -> tuple[str, Properties]:
        """An RSA key."""
        if token != "tls:index/privateKey:PrivateKey" or inputs.get("algorithm") != "RSA":
            raise Refused(f"{token}: only RSA private keys here")
        if preview:
            return "", {**inputs, "privateKeyPemPkcs8": secret(UNKNOWN)}
        key = rsa.generate_private_key(public_exponent=65537, key_size=int(inputs.get("rsaBits", 2048)))
        made = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return uuid.uuid4().hex, {**inputs, "privateKeyPemPkcs8": secret(made.decode())}


class Random(_Made):
    """Passwords."""

    def create(self, token: str, inputs: Properties, *, preview: bool) -> tuple[str, Properties]:
        """A password of letters and digits."""
        if token != "random:index/randomPassword:RandomPassword":
            raise Refused(f"{token}: only passwords here")
        if preview:
            return "", {**inputs, "result": secret(UNKNOWN)}
        letters = string.ascii_letters + string.digits
        made = "".join(secrets.choice(letters) for _ in range(int(inputs["length"])))
        return "none", {**inputs, "result": secret(made)}
