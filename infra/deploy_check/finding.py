"""Questions to Azure's command line, and what their answers mean for a deployment."""

import enum
import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# Ends a command that hangs. Most take a second; the list of resource providers takes some.
_SECONDS_MAX = 120


class Kind(enum.StrEnum):
    """The meaning of a finding: a deployment would fail, Azure did not answer, or there is something to know."""

    FAULT = "fault"
    NO_ANSWER = "unknown"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An answer that an operator must know, and the command that corrects it or asks again."""

    kind: Kind
    text: str
    command: str


class AskError(Exception):
    """Azure did not answer a question. The message is what the command line reported."""


# Asks Azure's command line with these words, and returns its JSON. Raises `AskError`.
Ask = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The stack that is to be created, the subscription for it, and the signed-in account's name there."""

    stack: str
    production: bool
    location: str
    # The second region, and the custom domain with the resource id of its certificate; "" without one.
    second_location: str
    domain: str
    certificate: str
    subscription: str
    account: str

    @property
    def locations(self) -> Mapping[str, str]:
        """The regions by the setting that names each."""
        second = {"eventfeed:secondLocation": self.second_location} if self.second_location else {}
        return {"azure-native:location": self.location, **second}


def ask(*words: str) -> Any:
    """Return the JSON that `az` prints for these words. Raises `AskError`."""
    try:
        process = subprocess.run(  # noqa: S603  # the words of the questions, without a shell
            ["az", *words, "--output", "json"],  # noqa: S607  # found where the machine has it
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS_MAX,
        )
    except FileNotFoundError as error:
        raise AskError("the command az is missing: https://learn.microsoft.com/cli/azure/install-azure-cli") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AskError(str(error)) from error
    if process.returncode != 0:
        raise AskError(process.stderr.strip() or f"az ended with {process.returncode}")
    try:
        return json.loads(process.stdout)
    except ValueError as error:
        raise AskError(f"az printed no JSON: {process.stdout[:100]!r}") from error
