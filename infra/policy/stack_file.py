"""The configuration of a stack as its file has it, which decides which rules apply to its resources.

The engine does not give a pack in Python the configuration, so the pack reads the stack's file. An input of a resource
must not decide: a fault that changes it would also end the rule.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]


def stack_of(urn: str) -> str:
    """Return the name of the stack in the URN of a resource."""
    return urn.removeprefix("urn:pulumi:").partition("::")[0]


def read_settings(stack: str, project: Path = PROJECT) -> Mapping[str, Any]:
    """Return the settings in the stack's file by their whole names; none if there is no file."""
    file = project / f"Pulumi.{stack}.yaml"
    content = yaml.safe_load(file.read_text()) if file.exists() else None
    return (content or {}).get("config") or {}


@cache
def is_production(stack: str, project: Path = PROJECT) -> bool:
    """Return True unless the stack's file says that it is not for real users."""
    return str(read_settings(stack, project).get("eventfeed:production")).casefold() != "false"
