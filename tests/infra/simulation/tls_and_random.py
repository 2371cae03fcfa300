"""The simulated providers of pulumi-tls and pulumi-random: a real RSA key and a real password, generated once."""

import secrets
import string
import uuid

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.infra.simulation.cloud import RejectedError
from tests.infra.simulation.provider import Diff, Provider, Reading, changed_inputs
from tests.infra.simulation.wire import UNKNOWN, Properties, mark_secret, reveal


class _GeneratorProvider(Provider):
    """Generated values that exist in the stack's state only. Every change is a replacement."""

    def diff(self, token: str, name: str, *, old_inputs: Properties, inputs: Properties) -> Diff:
        """Require a replacement for every change."""
        changes = changed_inputs(reveal(old_inputs), reveal(inputs))
        return Diff(changes=changes, replacements=changes)

    def read(self, token: str, resource_id: str, state: Reading) -> Reading | None:
        """Return what the stack knows. A value that it does not know cannot be imported."""
        return state if state.outputs else None

    def update(self, token: str, resource_id: str, *, inputs: Properties, preview: bool) -> Properties:
        """Reject the call, which the engine never makes."""
        raise RejectedError(f"{resource_id} cannot be updated")

    def delete(self, token: str, resource_id: str) -> None:
        """Do nothing: the value exists in the state only."""


class TlsProvider(_GeneratorProvider):
    """Private keys."""

    distribution = "pulumi-tls"

    def create(self, token: str, inputs: Properties, *, preview: bool) -> tuple[str, Properties]:
        """Generate an RSA key."""
        if token != "tls:index/privateKey:PrivateKey" or inputs.get("algorithm") != "RSA":
            raise RejectedError(f"{token}: only RSA private keys are simulated")
        if preview:
            return "", {**inputs, "privateKeyPemPkcs8": mark_secret(UNKNOWN)}
        key = rsa.generate_private_key(public_exponent=65537, key_size=int(inputs.get("rsaBits", 2048)))
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return uuid.uuid4().hex, {**inputs, "privateKeyPemPkcs8": mark_secret(pem.decode())}


class RandomProvider(_GeneratorProvider):
    """Passwords."""

    distribution = "pulumi-random"

    def create(self, token: str, inputs: Properties, *, preview: bool) -> tuple[str, Properties]:
        """Generate a password of letters and digits."""
        if token != "random:index/randomPassword:RandomPassword":
            raise RejectedError(f"{token}: only passwords are simulated")
        if preview:
            return "", {**inputs, "result": mark_secret(UNKNOWN)}
        alphabet = string.ascii_letters + string.digits
        password = "".join(secrets.choice(alphabet) for _ in range(int(inputs["length"])))
        return "none", {**inputs, "result": mark_secret(password)}
