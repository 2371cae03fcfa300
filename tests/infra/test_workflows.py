"""The workflows of GitHub Actions: permissions, and the order of tests and deployments."""

import os
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

Job = Mapping[str, Any]  # a job's YAML


def jobs() -> Iterator[tuple[str, Job]]:
    """Yield every job that runs on a machine, with its workflow's and its own name."""
    for workflow_name, workflow in WORKFLOWS.items():
        for name, job in workflow["jobs"].items():
            if "runs-on" in job:
                yield f"{workflow_name} {name}", job


def commands(job: Job) -> str:
    """Return all commands of a job."""
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_actions_are_pinned_to_one_commit_each() -> None:
    """An action of another repository is referenced by commit, with the version as a comment."""
    lines = {line.strip(" -") for file in FILES for line in file.read_text().splitlines() if "uses:" in line}
    actions = {line.removeprefix("uses: ") for line in lines if "uses: ./" not in line}

    assert [] == [each for each in actions if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)]
    assert len({each.partition("@")[0] for each in actions}) == len(actions)


def test_every_job_has_a_timeout() -> None:
    """The default of six hours is too long."""
    assert [] == [name for name, job in jobs() if "timeout-minutes" not in job]


def test_workflow_permissions_exclude_writing_to_the_repository() -> None:
    """Workflows may read the repository, request an identity token for Azure, and open an issue."""
    permissions = [workflow["permissions"] for workflow in WORKFLOWS.values()]
    permissions += [
        job["permissions"]
        for workflow in WORKFLOWS.values()
        for job in workflow["jobs"].values()
        if "permissions" in job
    ]

    assert {("contents", "read"), ("id-token", "write"), ("issues", "write")} == {
        pair for each in permissions for pair in each.items()
    }


def test_jobs_that_use_azure_have_an_environment() -> None:
    """The environment names the identity and the reviewers. There is no password."""
    azure_jobs = {name: job for name, job in jobs() if "id-token" in job.get("permissions", {})}

    assert {"deploy preview", "deploy image", "deploy dev", "deploy prod", "drift compare"} == azure_jobs.keys()
    assert [] == [name for name, job in azure_jobs.items() if "environment" not in job]
    assert ["LOADTEST_TOKEN_SCRIPT"] == re.findall(r"secrets\.(\w+)", "".join(file.read_text() for file in FILES))


def test_pull_request_deploys_nothing() -> None:
    """A pull request is previewed with read access, unless it comes from a fork; only main deploys."""
    triggers = WORKFLOWS["deploy"][True]  # YAML 1.1 reads the key `on` as true

    assert ["main"] == triggers["push"]["branches"]
    assert "head.repo.full_name == github.repository" in DEPLOY["preview"]["if"]
    assert "pulumi up" not in commands(DEPLOY["preview"])
    assert "-preview" in DEPLOY["preview"]["environment"]
    assert "github.event_name == 'push'" == DEPLOY["tests"]["if"]


def test_production_deploys_the_image_of_development() -> None:
    """The order is tests, image, dev, prod. Production imports the digest that development runs."""
    order = {name: job.get("needs") for name, job in DEPLOY.items()}

    assert {"preview": None, "tests": None, "image": "tests", "dev": "image", "prod": ["image", "dev"]} == order
    assert ["dev", "prod"] == [DEPLOY[name]["environment"] for name in ("dev", "prod")]
    assert [1, 0, 0] == [commands(DEPLOY[name]).count("build-image.sh") for name in ("image", "dev", "prod")]
    assert "az acr import" in commands(DEPLOY["prod"])
    assert all('"eventfeed@$DIGEST"' in commands(DEPLOY[name]) for name in ("dev", "prod"))


def test_jobs_of_one_stack_run_one_after_another() -> None:
    """A job of production that waits for an approval holds no other stack; only an outdated preview is cancelled."""
    groups = {name: DEPLOY[name]["concurrency"] for name in ("preview", "dev", "prod")}
    drift = WORKFLOWS["drift"]["jobs"]["compare"]["concurrency"]

    assert {"group": "dev", "cancel-in-progress": False} == groups["dev"]
    assert {"group": "prod", "cancel-in-progress": False} == groups["prod"]
    assert groups["preview"]["cancel-in-progress"]
    assert {"group": "${{ matrix.stack }}-drift", "cancel-in-progress": False} == drift
    assert {"dev-drift", "prod-drift"}.isdisjoint({each["group"] for each in groups.values()})
    assert not any("concurrency" in WORKFLOWS[name] for name in ("deploy", "drift"))


def test_every_operation_of_pulumi_applies_the_policies() -> None:
    """No preview and no update in a script or a workflow runs without the pack, whose environment is made before."""
    texts = [file.read_text() for file in (*FILES, *ROOT.glob("infra/*.sh"), *ROOT.glob(".github/*.sh"))]
    lines = [line for text in texts for line in text.replace("\\\n", " ").splitlines()]
    operations = [line for line in lines if re.search(r"^\s*(run: )?pulumi (up|preview|refresh|destroy)\b", line)]
    action = (ROOT / ".github" / "actions" / "stack" / "action.yml").read_text()

    assert 3 == len(operations)
    assert [] == [
        line for line in operations if not re.search(r"--policy-pack (infra/policy/analyzer|\"\$pack\")", line)
    ]
    assert "run: make infra policy\n" in action


def waiting_jobs(workflows: Mapping[str, Any]) -> list[str]:
    """Return the scheduled jobs whose environment may have reviewers: they would wait for an approval."""
    workflows_by_time = {
        name: each for name, each in workflows.items() if "schedule" in each[True]
    }  # YAML 1.1: `on` is true
    return [
        f"{name} {job_name}"
        for name, workflow in workflows_by_time.items()
        for job_name, job in workflow["jobs"].items()
        if "environment" in job and not str(job["environment"]).endswith("-drift")
    ]


def test_scheduled_jobs_never_wait_for_an_approval() -> None:
    """Their environments are those without reviewers. An environment of a preview is detected."""
    mutant = {"drift": {True: {"schedule": []}, "jobs": {"compare": {"environment": "${{ matrix.stack }}-preview"}}}}

    assert [] == waiting_jobs(WORKFLOWS)
    assert ["drift compare"] == waiting_jobs(mutant)


@pytest.mark.parametrize(
    ("python", "exit_code", "issues"),
    [
        ('printf "One ends on 2027-01-01: do one (x)\nTwo ends on 2027-02-01: do two (y)\n"', 0, ["One", "Two"]),
        ("true", 0, []),
        ("exit 1", 1, []),
    ],
    ids=["two near ends", "none", "a crash"],
)
def test_calendar_opens_an_issue_for_each_near_end(
    tmp_path: Path, python: str, exit_code: int, issues: list[str]
) -> None:
    """A crash of the command fails the job. The step runs as in GitHub, with stand-ins of python3 and gh."""
    (step,) = [each for each in WORKFLOWS["calendar"]["jobs"]["check"]["steps"] if "run" in each]
    titles = tmp_path / "titles"
    titles.touch()
    gh = f'case "$1 $2" in "issue list") echo 0;; "issue create") cat; echo "$4" >> "{titles}";; esac'
    for name, text in (("python3", python), ("gh", gh)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "RUNNER_TEMP": str(tmp_path)}
    process = subprocess.run(["bash", "-e", "-c", step["run"]], cwd=ROOT, env=environment, check=False)

    assert exit_code == process.returncode
    assert issues == [line.split()[0] for line in titles.read_text().splitlines()]


def undocumented_environments(page: str) -> set[str]:
    """Return the environments that a page does not list, and "plan" if it names no plan of GitHub for reviewers."""
    names = {str(job["environment"]) for _, job in jobs() if "environment" in job}
    every_name = {name.replace("${{ matrix.stack }}", stack) for name in names for stack in ("dev", "prod")}
    plan = (
        set()
        if re.search(r"^Reviewers of .* private repository need GitHub Enterprise", page, re.MULTILINE)
        else {"plan"}
    )
    return {name for name in every_name if f"`{name}`" not in page} | plan


def test_documentation_names_the_environments_with_reviewers() -> None:
    """An operator knows each environment, and the plan without which a private repository has no reviewers."""
    page = (ROOT / "docs" / "deploy.md").read_text()
    mutant = page.replace("`prod-drift`", "").replace("GitHub Enterprise", "a plan")

    assert set() == undocumented_environments(page)
    assert {"prod-drift", "plan"} == undocumented_environments(mutant)


def test_pulumi_command_has_the_version_of_the_tests() -> None:
    """The action installs, and the documentation prescribes, the version that `make engine` compiles and runs."""
    action = (ROOT / ".github" / "actions" / "stack" / "action.yml").read_text()
    module = (ROOT / "tests" / "infra" / "pulumi_engine" / "cli" / "go.mod").read_text()
    (version,) = re.findall(r"^\s*github\.com/pulumi/pulumi/pkg/v3 v(\S+)", module, re.MULTILINE)
    page = (ROOT / "docs" / "deploy.md").read_text()

    assert f"pulumi-version: {version}\n" in action
    assert f"(https://www.pulumi.com/docs/install/) {version}," in page
    assert f"the command line and engine are {version}" in page


@pytest.mark.parametrize(
    "script",
    [*ROOT.glob("infra/*.sh"), *ROOT.glob("tests/infra/*.sh"), *ROOT.glob(".github/*.sh")],
    ids=lambda file: file.name,
)
def test_shell_scripts_have_valid_syntax(script: Path) -> None:
    """Bash parses each script without an error."""
    shell = shutil.which("bash")
    assert shell is not None

    assert 0 == subprocess.run([shell, "-n", str(script)], check=False).returncode
