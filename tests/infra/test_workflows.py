"""How it is delivered: who may do what in the workflows, and in which order."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github").rglob("*.yml"))
WORKFLOWS = {file.stem: yaml.safe_load(file.read_text()) for file in (ROOT / ".github" / "workflows").glob("*.yml")}
DEPLOY = WORKFLOWS["deploy"]["jobs"]

Job = Mapping[str, Any]  # as YAML has it


def jobs() -> Iterator[tuple[str, Job]]:
    """Every job that runs somewhere, with its name."""
    for workflow, told in WORKFLOWS.items():
        for name, job in told["jobs"].items():
            if "runs-on" in job:
                yield f"{workflow} {name}", job


def commands(job: Job) -> str:
    """Everything that a job runs."""
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_actions_are_pinned_by_commit() -> None:
    """What is not of this repository is named by its commit, with its version beside it; one commit each."""
    used = {line.strip(" -") for file in FILES for line in file.read_text().splitlines() if "uses:" in line}
    foreign = {each.removeprefix("uses: ") for each in used if "uses: ./" not in each}

    assert [] == [each for each in foreign if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)]
    assert len({each.partition("@")[0] for each in foreign}) == len(foreign)


def test_every_job_ends() -> None:
    """None runs on for the six hours that are the default."""
    assert [] == [name for name, job in jobs() if "timeout-minutes" not in job]


def test_no_workflow_may_write_to_the_repository() -> None:
    """It is read; and who goes to Azure may ask for a proof of who it is."""
    given = [told["permissions"] for told in WORKFLOWS.values()]
    given += [
        job["permissions"] for told in WORKFLOWS.values() for job in told["jobs"].values() if "permissions" in job
    ]

    assert {("contents", "read"), ("id-token", "write")} == {right for each in given for right in each.items()}


def test_only_a_job_with_an_environment_goes_to_azure() -> None:
    """The environment says as whom, and who must approve; there is no password anywhere."""
    going = {name: job for name, job in jobs() if "id-token" in job.get("permissions", {})}

    assert {"deploy preview", "deploy image", "deploy dev", "deploy prod", "drift compare"} == going.keys()
    assert [] == [name for name, job in going.items() if "environment" not in job]
    assert ["LOADTEST_TOKEN_SCRIPT"] == re.findall(r"secrets\.(\w+)", "".join(file.read_text() for file in FILES))


def test_a_pull_request_changes_nothing() -> None:
    """It is previewed with rights to look, unless it comes from a fork; what deploys runs on main alone."""
    told = WORKFLOWS["deploy"]
    on = told[True]  # YAML reads `on` so

    assert ["main"] == on["push"]["branches"]
    assert "head.repo.full_name == github.repository" in DEPLOY["preview"]["if"]
    assert "pulumi up" not in commands(DEPLOY["preview"])
    assert "-preview" in DEPLOY["preview"]["environment"]
    assert "github.event_name == 'push'" == DEPLOY["tests"]["if"]


def test_production_runs_what_was_tested_and_ran_in_development() -> None:
    """Tests, then one image, then dev, then prod: the same digest, brought over."""
    order = {name: job.get("needs") for name, job in DEPLOY.items()}

    assert {"preview": None, "tests": None, "image": "tests", "dev": "image", "prod": ["image", "dev"]} == order
    assert ["dev", "prod"] == [DEPLOY[name]["environment"] for name in ("dev", "prod")]
    assert [1, 0, 0] == [commands(DEPLOY[name]).count("az acr build") for name in ("image", "dev", "prod")]
    assert "az acr import" in commands(DEPLOY["prod"])
    assert all('"eventfeed@$DIGEST"' in commands(DEPLOY[name]) for name in ("dev", "prod"))


def test_nothing_deploys_twice_at_once() -> None:
    """A deployment that has begun is not cut off; a preview that is old is."""
    concurrency = WORKFLOWS["deploy"]["concurrency"]

    assert "${{ github.event_name == 'pull_request' }}" == concurrency["cancel-in-progress"]


def test_what_pulumi_is_pinned_to_is_what_runs_it() -> None:
    """The command line and the library are of one version."""
    action = (ROOT / ".github" / "actions" / "stack" / "action.yml").read_text()
    (library,) = re.findall(r"^pulumi==(\S+)", (ROOT / "requirements" / "infra.in").read_text(), re.MULTILINE)

    assert f"pulumi-version: {library}\n" in action


@pytest.mark.parametrize(
    "script", [*ROOT.glob("infra/*.sh"), *ROOT.glob("tests/infra/*.sh")], ids=lambda file: file.name
)
def test_scripts_can_be_read(script: Path) -> None:
    """By the shell that runs them."""
    shell = shutil.which("bash")
    assert shell is not None

    assert 0 == subprocess.run([shell, "-n", str(script)], check=False).returncode
