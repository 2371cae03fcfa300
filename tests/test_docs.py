"""README and docs agree with the code: complete tables, and examples that run."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from eventfeed.cli.commands import main
from eventfeed.http.operations.openapi import document
from eventfeed.http.problems import KINDS
from eventfeed.settings import PREFIX, describe_settings
from eventfeed.telemetry.dashboards import ALERTS
from eventfeed.telemetry.metrics import METRICS
from tests.support.service import COMMAND, clean_environment, running_service
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, with its words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def test_reference_describes_every_setting_with_its_default() -> None:
    """A row has name, default and unit."""
    rows = {row.split("`")[1]: row for row in REFERENCE.splitlines() if row.startswith(f"| `{PREFIX}")}
    settings = {f"{PREFIX}{each.name.upper()}": each for each in describe_settings()}

    assert settings.keys() == rows.keys()
    assert [] == [
        name for name, each in settings.items() if each.default != "" and f"`{each.default}`" not in rows[name]
    ]
    assert [] == [name for name, each in settings.items() if each.unit and f"({each.unit})" not in rows[name]]


def test_reference_describes_every_route() -> None:
    """The routes are those of the OpenAPI document."""
    paths = document()["paths"]
    assert isinstance(paths, dict)
    routes = [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]

    assert [] == [route for route in routes if f"`{route}`" not in REFERENCE]


def test_reference_describes_every_error() -> None:
    """A row has status and code. There is no other row."""
    rows = re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", REFERENCE, re.MULTILINE)

    assert {(str(kind.status), code) for code, kind in KINDS.items()} == set(rows)


def test_reference_describes_every_command_with_its_options() -> None:
    """Each command has its row, and the row has each option."""
    rows = {row.split("`")[1]: row for row in REFERENCE.splitlines() if row.startswith("| `eventfeed ")}
    missing = []
    for words, command in commands(main, "eventfeed"):
        row = next((row for usage, row in rows.items() if usage == words or usage.startswith(f"{words} ")), "")
        options = [max(each.opts, key=len) for each in command.params if isinstance(each, click.Option)]
        missing += [f"{words} {option}" for option in options if option not in row] if row else [words]

    assert [] == missing
    assert len(rows) == len(list(commands(main, "eventfeed")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_to_existing_files(page: Path) -> None:
    """Links to other sites are not checked."""
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in target]

    assert [] == [target for target in targets if not (page.parent / target).exists()]


def test_every_make_command_in_the_docs_exists() -> None:
    """The Makefile has a target for each."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)`", page.read_text())}

    assert commands <= targets


def test_tour_of_the_readme_runs_as_written(tmp_path: Path) -> None:
    """The commands run against a service as `make run` starts it."""
    (tour,) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    with running_service(tmp_path, "--sample") as service:
        script = tour.replace("http://127.0.0.1:8080", service.url).replace(".venv/bin/eventfeed", COMMAND)
        result = subprocess.run(
            ["bash", "-euc", script],
            cwd=tmp_path,
            env=clean_environment(EVENTFEED_PUBLIC_URL=service.url),
            capture_output=True,
            timeout=300,
            check=False,
        )

    assert (0, b"") == (result.returncode, result.stderr)
    assert b'"duplicate":false' in result.stdout
    assert b"feed-cursor: " in result.stdout
    assert (tmp_path / "completed.ndjson").read_text().count("instance.process.completed") > 10


def test_commands_in_the_output_of_a_start_run_as_written(tmp_path: Path) -> None:
    """The commands of all five scenarios print events in order."""
    with running_service(tmp_path, "--sample") as service:
        output = wait_until(lambda: output_with_scenarios(tmp_path))
        parts = re.split(r"^S[1-5].*$", output, flags=re.MULTILINE)[1:]
        results = [run_commands(part, tmp_path) for part in parts]
        sequences = [re.findall(rb'"sequence":"([0-9]{20})"', result) for result in results]

    assert service.url in output
    assert 5 == len([each for each in sequences if len(each) > 2])
    assert [sorted(each) for each in sequences] == sequences


def output_with_scenarios(folder: Path) -> str:
    """The output of a service once it has all scenarios; "" before."""
    output = (folder / "output").read_text()
    return output if "S5" in output else ""


def run_commands(commands: str, folder: Path) -> bytes:
    """The output of these commands."""
    return subprocess.run(["bash", "-euc", commands], capture_output=True, timeout=300, check=True, cwd=folder).stdout


def test_docs_describe_every_metric_as_the_code_does() -> None:
    """A row has kind, unit, attributes and description. There is no other row."""
    page = (ROOT / "docs" / "observability.md").read_text()
    section = page.partition("## Metrics\n")[2].partition("\n## ")[0]
    rows = {row.split("`")[1]: row for row in section.splitlines() if row.startswith("| `")}
    metrics = {
        each.name: "| `{}` | {} | `{}` | {} | {} |".format(
            each.name,
            each.kind,
            each.unit,
            ", ".join(f"`{name}`" for name in each.attributes) or "none",
            each.description,
        )
        for each in METRICS.values()
    }

    assert metrics == rows


def test_docs_describe_every_alert_as_the_code_does() -> None:
    """A row has severity, window and meaning. There is no other row."""
    page = (ROOT / "docs" / "observability.md").read_text()
    section = page.partition("## Dashboard and alerts on Azure\n")[2].partition("\n## ")[0]
    alerts = [f"| `{each.name}` | {each.severity} | {each.minutes} | {each.meaning} |" for each in ALERTS]

    assert alerts == [row for row in section.splitlines() if row.startswith("| `")]


def test_no_metric_has_an_id_or_a_person_as_attribute() -> None:
    """A metric has few series and no personal data, so parties, cursors and tokens are excluded too."""
    names = {name for each in METRICS.values() for name in each.attributes}
    personal = re.compile(r"id$|party|person|user|cursor|token|instance|subject|source_|path|url|query")

    assert [] == [name for name in names if personal.search(name)]
