"""Who takes part, and the tokens they hold: of the service's own development issuers, or of whoever is named.

`LOADTEST_TOKEN_COMMAND` is run with a role (`publisher`, `app`, `citizen`, `organisation`, `bank`) as its last argument
and prints a provider's token, which is exchanged here; without it the service must have its development issuers.
"""

import base64
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

# A token is renewed this long before its end.
RENEW_SECONDS = 60.0
EXCHANGE = "/authentication/api/v1/exchange"


class Role(NamedTuple):
    """Somebody's way in: the provider of the token, and what the development issuer is asked for."""

    name: str
    provider: str
    form: Mapping[str, str]


class World(NamedTuple):
    """Whom a run is about: an org and its app, a citizen, an organisation, and what the bank hears of."""

    org: str = "ttd"
    app: str = "loadtest"
    citizen: str = "50000001"
    organisation: str = "51000011"
    types: tuple[str, ...] = ("estate.created",)

    @classmethod
    def here(cls) -> "World":
        """As `LOADTEST_ORG`, `LOADTEST_APP`, `LOADTEST_CITIZEN` and `LOADTEST_ORGANISATION` say."""
        told = {name: os.environ[f"LOADTEST_{name.upper()}"] for name in cls._fields if _told(name)}
        return cls()._replace(**told)  # type: ignore[arg-type]  # all that is told is text


def _told(name: str) -> bool:
    return name != "types" and bool(os.environ.get(f"LOADTEST_{name.upper()}"))


def roles(world: World) -> Mapping[str, Role]:
    """Everybody who needs a token."""
    asked = {
        "publisher": ("991825827", f"altinn:events.publish altinn:events/{world.org}"),
        "app": ("991825827", f"altinn:events/{world.org}/{world.app}"),
        "organisation": ("310000022", "altinn:events"),
        "bank": ("310000033", "altinn:events/reportees"),
    }
    by_name = {
        name: Role(name, "maskinporten", {"org_number": number, "scope": scope})
        for name, (number, scope) in asked.items()
    }
    return {**by_name, "citizen": Role("citizen", "id-porten", {"person": "01838012345", "level": "high"})}


class Wallet:
    """The tokens of everybody in this process: got when first needed, and again shortly before they end."""

    def __init__(self, post: Callable[[str, Mapping[str, str]], str], get: Callable[[str, str], str]) -> None:
        self._post, self._get = post, get
        self._tokens: dict[str, tuple[str, float]] = {}

    def headers(self, role: Role) -> dict[str, str]:
        """The header of a request of this role."""
        token, until = self._tokens.get(role.name, ("", 0.0))
        if time.time() > until - RENEW_SECONDS:
            token = self._get(f"{EXCHANGE}/{role.provider}", self._external(role))
            self._tokens[role.name] = token, _expires(token)
        return {"Authorization": f"Bearer {token}"}

    def _external(self, role: Role) -> str:
        command = os.environ.get("LOADTEST_TOKEN_COMMAND", "")
        if not command:
            return self._post(f"/development/{role.provider}/token", role.form)
        asked = [*shlex.split(command), role.name]
        return subprocess.run(asked, capture_output=True, check=True, text=True).stdout.strip()


def _expires(token: str) -> float:
    """The last second of a token (Unix time). It is ours to hold, not to verify."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return float(claims["exp"])
