"""The calendar: every pinned API version has a date and a way out. Nothing here depends on the current date."""

import json
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pytest

from tests.infra.mock_run import INFRA, ROOT
from tests.infra.simulation.catalog import RESOURCE_TYPES

ENTRIES: list[dict[str, Any]] = json.loads((INFRA / "dates.json").read_text())
VERSIONS: Mapping[str, str] = json.loads((ROOT / "tests" / "infra" / "api_versions.json").read_text())
VAULT = next(each for each in ENTRIES if "keyvault:Vault" in each["types"])
COMMAND = [sys.executable, str(INFRA / "check_dates.py")]


def dated_versions(entries: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    """Return the API version of each type that has an entry, as the subject of the entry names it."""
    return {f"azure-native:{token}": each["subject"].split()[-1] for each in entries for token in each["types"]}


def test_every_pinned_version_has_one_entry() -> None:
    """No entry is about a version that is not pinned. An entry that is missing, or about another version, shows."""
    without_vault = [each for each in ENTRIES if each is not VAULT]
    old_version = [*without_vault, {**VAULT, "subject": "Microsoft.KeyVault 2023-07-01"}]

    assert VERSIONS == dated_versions(ENTRIES)
    assert VERSIONS != dated_versions(without_vault)
    assert VERSIONS != dated_versions(old_version)
    assert len(VERSIONS) == sum(len(each["types"]) for each in ENTRIES)
    assert {each.removeprefix("azure-native:") for each in VERSIONS} <= RESOURCE_TYPES.keys()


def test_every_entry_has_a_date_a_source_and_a_way_out() -> None:
    """The date of an entry that Azure has announced is a fact; the date of the others is one of ours."""
    for entry in ENTRIES:
        assert entry["end"] == date.fromisoformat(entry["end"]).isoformat()
        assert entry["kind"] in {"announced", "review"}
        assert entry["source"].startswith("https://")
        assert len(entry["way_out"].split()) >= 5
    assert ("2027-02-27", "announced") == (VAULT["end"], VAULT["kind"])
    assert "pulumi package add azure-native keyvault 2026-02-01" in VAULT["way_out"]


@pytest.mark.parametrize(
    ("today", "is_near"), [("2026-12-28", False), ("2026-12-29", True), ("2027-02-27", True), ("2027-06-01", True)]
)
def test_end_is_near_from_60_days_before(today: str, is_near: bool) -> None:  # noqa: FBT001  # a case of the table
    """An end that has passed stays near."""
    near = runpy.run_path(str(INFRA / "check_dates.py"))["near_entries"]([VAULT], date.fromisoformat(today), days=60)

    assert is_near == bool(near)


def test_command_prints_what_is_near() -> None:
    """Each line starts with the title of an issue, and names the way out. Only a crash is a failure."""
    near = subprocess.run([*COMMAND, "--today", "2027-01-01"], capture_output=True, text=True, check=False)
    far = subprocess.run([*COMMAND, "--today", "2026-06-01"], capture_output=True, text=True, check=False)

    assert (0, 0) == (near.returncode, far.returncode)
    assert near.stdout.count("\n") >= 1
    assert "Microsoft.KeyVault 2024-11-01 ends on 2027-02-27: " in near.stdout
    assert "" == far.stdout
