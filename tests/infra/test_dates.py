"""The calendar: every pinned API version has a date and a way out. Nothing here depends on the current date."""

import json
import runpy
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from tests.infra.mock_run import INFRA, ROOT
from tests.infra.simulation.catalog import RESOURCE_TYPES

ENTRIES: list[dict[str, Any]] = json.loads((INFRA / "dates.json").read_text())
VERSIONS: Mapping[str, str] = json.loads((ROOT / "tests" / "infra" / "api_versions.json").read_text())
VAULT = next(each for each in ENTRIES if "keyvault:Vault" in each["types"])
COMMAND = [sys.executable, str(INFRA / "check_dates.py")]


def test_every_pinned_version_has_one_entry() -> None:
    """The subject of the entry names the version; no entry is about a version that is not pinned."""
    versions = {f"azure-native:{token}": each["subject"].split()[-1] for each in ENTRIES for token in each["types"]}

    assert VERSIONS == versions
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


@pytest.mark.parametrize(
    ("today", "is_near"), [("2026-12-28", False), ("2026-12-29", True), ("2027-02-27", True), ("2027-06-01", True)]
)
def test_end_is_near_from_60_days_before(today: str, is_near: bool) -> None:  # noqa: FBT001  # a case of the table
    """An end that has passed stays near."""
    near = runpy.run_path(str(INFRA / "check_dates.py"))["near_entries"]([VAULT], date.fromisoformat(today), days=60)

    assert is_near == bool(near)


def test_command_prints_what_is_near_and_fails() -> None:
    """Each line starts with the title of an issue, and names the way out."""
    near = subprocess.run([*COMMAND, "--today", "2027-01-01"], capture_output=True, text=True, check=False)
    far = subprocess.run([*COMMAND, "--today", "2026-06-01"], capture_output=True, text=True, check=False)

    assert (1, 0) == (near.returncode, far.returncode)
    assert near.stdout.count("\n") >= 1
    assert "Microsoft.KeyVault 2024-11-01 ends on 2027-02-27: " in near.stdout
    assert "" == far.stdout
