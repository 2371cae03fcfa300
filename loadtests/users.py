"""The users of a load test and their tokens: from the development issuers of the service, or from a command.

`LOADTEST_TOKEN_COMMAND` is called with a role (`publisher`, `app`, `citizen`, `organisation`, `bank`) as its last
argument and prints a provider's token, which is exchanged here. Without it, the service must have its development
issuers.
"""

import base64
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

# A token is renewed this long before it expires.
RENEW_SECONDS = 60.0
EXCHANGE = "/authentication/api/v1/exchange"


class Role(NamedTuple):
    """A role of users: the provider of its tokens, and the request to the development issuer."""

    name: str
    provider: str
    form: Mapping[str, str]


class World(NamedTuple):
    """The subjects of a run: an org and its app, a citizen, an organisation, and the types that the bank reads."""

    org: str = "ttd"
    app: str = "loadtest"
    citizen: str = "50000001"
    organisation: str = "51000011"
    types: tuple[str, ...] = ("estate.created",)

    @classmethod
    def from_environment(cls) -> "World":
        """The world of `LOADTEST_ORG`, `LOADTEST_APP`, `LOADTEST_CITIZEN` and `LOADTEST_ORGANISATION`."""
        variables = {name: f"LOADTEST_{name.upper()}" for name in cls._fields if name != "types"}
        texts = {name: os.environ[variable] for name, variable in variables.items() if os.environ.get(variable)}
        return cls()._replace(**texts)  # type: ignore[arg-type]  # all of these fields are text


def roles(world: World) -> Mapping[str, Role]:
    """The roles that need a token."""
    organisations = {
        "publisher": ("991825827", f"altinn:events.publish altinn:events/{world.org}"),
        "app": ("991825827", f"altinn:events/{world.org}/{world.app}"),
        "organisation": ("310000022", "altinn:events"),
        "bank": ("310000033", "altinn:events/reportees"),
    }
    by_name = {
        name: Role(name, "maskinporten", {"org_number": number, "scope": scope})
        for name, (number, scope) in organisations.items()
    }
    return {**by_name, "citizen": Role("citizen", "id-porten", {"person": "01838012345", "level": "high"})}


class TokenCache:
    """The tokens of all roles in this process. A token is requested at first use, and again before it expires."""

    def __init__(self, post: Callable[[str, Mapping[str, str]], str], get: Callable[[str, str], str]) -> None:
        self._post, self._get = post, get
        self._tokens: dict[str, tuple[str, float]] = {}

    def headers(self, role: Role) -> dict[str, str]:
        """The authorization header for this role."""
        token, end = self._tokens.get(role.name, ("", 0.0))
        if time.time() > end - RENEW_SECONDS:
            token = self._get(f"{EXCHANGE}/{role.provider}", self._external(role))
            self._tokens[role.name] = token, _expiry(token)
        return {"Authorization": f"Bearer {token}"}

    def _external(self, role: Role) -> str:
        command = os.environ.get("LOADTEST_TOKEN_COMMAND", "")
        if not command:
            return self._post(f"/development/{role.provider}/token", role.form)
        arguments = [*shlex.split(command), role.name]
        return subprocess.run(arguments, capture_output=True, check=True, text=True).stdout.strip()


def _expiry(token: str) -> float:
    """The expiry of a token (Unix time), without verification of the token."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return float(claims["exp"])
