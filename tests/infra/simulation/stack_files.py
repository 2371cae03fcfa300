"""The settings of a stack, read from the project's and the stack's Pulumi files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.infra.simulation.catalog import SUBSCRIPTION

# Stands for a value that is encrypted in the stack's file.
SECRET_PLACEHOLDER = "encrypted-in-the-file"

# Settings that are specific to an installation, and therefore in no file.
EXAMPLE_SETTINGS = {
    "operatorName": "Testdepartementet",
    "operatorEmail": "drift@example.no",
    "maskinportenAudiences": "https://eventfeed.example.no",
    "image": f"eventfeed@sha256:{'1' * 64}",
}

_VAULT = f"{SUBSCRIPTION}/resourceGroups/certificates/providers/Microsoft.KeyVault/vaults/agency"
# The settings of a custom domain, whose certificate is in a vault of the operator.
DOMAIN_SETTINGS = {"customDomain": "events.example.no", "domainCertificate": f"{_VAULT}/secrets/events"}
# The settings of a second region.
REGION_SETTINGS = {"secondLocation": "swedencentral"}
# The settings of every optional part.
OPTIONS = {**DOMAIN_SETTINGS, **REGION_SETTINGS}


@dataclass(frozen=True, slots=True)
class StackSettings:
    """A project's name and program folder, the stack's configuration values as text, and the keys of secret values."""

    project: str
    program: Path
    values: Mapping[str, str]
    secret_keys: frozenset[str]


def read_settings(root: Path, stack: str, overrides: Mapping[str, Any]) -> StackSettings:
    """Read the settings of a stack of the project in `root`. `overrides` take precedence over its files.

    Keys without a colon belong to the project's namespace.
    """
    project_file = yaml.safe_load((root / "Pulumi.yaml").read_text())
    project, program = str(project_file["name"]), root / project_file.get("main", "")
    project_config = {key: each["value"] for key, each in project_file.get("config", {}).items()}
    stack_config = (yaml.safe_load((root / f"Pulumi.{stack}.yaml").read_text()) or {}).get("config", {})
    config = {_full_key(key, project): each for key, each in {**project_config, **stack_config, **overrides}.items()}
    secret_keys = frozenset(key for key, value in config.items() if _is_encrypted(value))
    values = {key: SECRET_PLACEHOLDER if key in secret_keys else _text(value) for key, value in config.items()}
    return StackSettings(project, program, values, secret_keys)


def _full_key(key: str, project: str) -> str:
    return key if ":" in key else f"{project}:{key}"


def _is_encrypted(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["secure"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
