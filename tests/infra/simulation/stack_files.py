"""A project's and a stack's settings, from the files that Pulumi keeps them in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# What stands for a value that is encrypted in the stack's file.
ENCRYPTED = "encrypted-in-the-file"

# What differs from one to another who sets this up, and is therefore in no file.
EXAMPLE = {
    "operatorName": "Testdepartementet",
    "operatorEmail": "drift@example.no",
    "maskinportenAudiences": "https://eventfeed.example.no",
    "image": f"eventfeed@sha256:{'1' * 64}",
}


@dataclass(frozen=True, slots=True)
class StackSettings:
    """A stack of a project: the folder of the program, every value of its configuration as text, the secret ones."""

    project: str
    program: Path
    values: Mapping[str, str]
    secret_keys: frozenset[str]


def settings(root: Path, stack: str, overrides: Mapping[str, Any]) -> StackSettings:
    """The stack of the project in `root`, with some settings put in the place of what its file says.

    Names without a colon are the project's own.
    """
    described = yaml.safe_load((root / "Pulumi.yaml").read_text())
    project, program = str(described["name"]), root / described.get("main", "")
    everywhere = {key: each["value"] for key, each in described.get("config", {}).items()}
    given = (yaml.safe_load((root / f"Pulumi.{stack}.yaml").read_text()) or {}).get("config", {})
    found = {_full(key, project): value for key, value in {**everywhere, **given, **overrides}.items()}
    secret_keys = frozenset(key for key, value in found.items() if _encrypted(value))
    values = {key: ENCRYPTED if key in secret_keys else _text(value) for key, value in found.items()}
    return StackSettings(project, program, values, secret_keys)


def _full(key: str, project: str) -> str:
    return key if ":" in key else f"{project}:{key}"


def _encrypted(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["secure"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
