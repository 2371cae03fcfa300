"""The configuration of a stack, which decides which rules apply to its resources.

The engine does not give a pack in Python the configuration, so the pack reads the stack's file. An input of a resource
must not decide: a fault that changes it would also end the rule.
"""

from functools import cache
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[2]


def stack_of(urn: str) -> str:
    """Return the name of the stack in the URN of a resource."""
    return urn.removeprefix("urn:pulumi:").partition("::")[0]


@cache
def is_production(stack: str, project: Path = PROJECT) -> bool:
    """Return True unless the stack's file says that it is not for real users."""
    file = project / f"Pulumi.{stack}.yaml"
    settings = yaml.safe_load(file.read_text()) if file.exists() else None
    value = ((settings or {}).get("config") or {}).get("eventfeed:production")
    return str(value).casefold() != "false"
