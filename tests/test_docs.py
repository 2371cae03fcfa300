"""The documentation cannot lie: what there is stands in it, and what it shows runs."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from eventfeed.cli.commands import main
from eventfeed.http.operations.openapi import document
from eventfeed.http.problems import KINDS
from eventfeed.settings import PREFIX, described
from eventfeed.telemetry.dashboards import ALERTS
from eventfeed.telemetry.metrics import METRICS
from tests.support.service import COMMAND, clean_environment, running_service

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, with its words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def test_every_setting_is_described_with_its_default() -> None:
    """Name, default, unit."""
    rows = {row.split("`")[1]: row for row in REFERENCE.splitlines() if row.startswith(f"| `{PREFIX}")}
    known = {f"{PREFIX}{each.name.upper()}": each for each in described()}

    assert known.keys() == rows.keys()
    assert [] == [name for name, each in known.items() if each.default != "" and f"`{each.default}`" not in rows[name]]
    assert [] == [name for name, each in known.items() if each.unit and f"({each.unit})" not in rows[name]]


def test_every_route_is_described() -> None:
    """As the OpenAPI document has them."""
    paths = document()["paths"]
    assert isinstance(paths, dict)
    routes = [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]

    assert [] == [route for route in routes if f"`{route}`" not in REFERENCE]


def test_every_error_is_described() -> None:
    """Status and code, and no other."""
    rows = re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", REFERENCE, re.MULTILINE)

    assert {(str(kind.status), code) for code, kind in KINDS.items()} == set(rows)


def test_every_command_is_described_with_its_options() -> None:
    """Each command has its row, and each option stands in it."""
    rows = {row.split("`")[1]: row for row in REFERENCE.splitlines() if row.startswith("| `eventfeed ")}
    missing = []
    for words, command in commands(main, "eventfeed"):
        row = next((row for usage, row in rows.items() if usage == words or usage.startswith(f"{words} ")), "")
        options = [max(each.opts, key=len) for each in command.params if isinstance(each, click.Option)]
        missing += [f"{words} {option}" for option in options if option not in row] if row else [words]

    assert [] == missing
    assert len(rows) == len(list(commands(main, "eventfeed")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the project is to one that is there."""
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in target]

    assert [] == [target for target in targets if not (page.parent / target).exists()]


def test_every_make_command_exists() -> None:
    """What the pages tell to run, the Makefile has."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = {name for page in PAGES for name in re.findall(r"`make ([a-z]+)`", page.read_text())}

    assert told <= targets


def test_the_tour_runs(tmp_path: Path) -> None:
    """The README's two minutes, pasted as they stand, against a service as `make run` starts it."""
    (tour,) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    with running_service(tmp_path, "--sample") as service:
        script = tour.replace("http://127.0.0.1:8080", service.url).replace(".venv/bin/eventfeed", COMMAND)
        ended = subprocess.run(
            ["bash", "-euc", script],
            cwd=tmp_path,
            env=clean_environment(EVENTFEED_PUBLIC_URL=service.url),
            capture_output=True,
            timeout=300,
            check=False,
        )

    assert (0, b"") == (ended.returncode, ended.stderr)
    assert b'"duplicate":false' in ended.stdout
    assert b"feed-cursor: " in ended.stdout
    assert (tmp_path / "completed.ndjson").read_text().count("instance.process.completed") > 10


def test_what_is_printed_at_the_start_can_be_pasted(tmp_path: Path) -> None:
    """The lines of all five scenarios give events, in order."""
    with running_service(tmp_path, "--sample") as service:
        while "S5" not in (printed := (tmp_path / "output").read_text()):
            pass
        pasted = [paste(part, tmp_path) for part in re.split(r"^S[1-5].*$", printed, flags=re.MULTILINE)[1:]]
        sequences = [re.findall(rb'"sequence":"([0-9]{20})"', output) for output in pasted]

    assert service.url in printed
    assert 5 == len([each for each in sequences if len(each) > 2])
    assert [sorted(each) for each in sequences] == sequences


def paste(commands: str, folder: Path) -> bytes:
    """What comes of pasting these lines."""
    return subprocess.run(["bash", "-euc", commands], capture_output=True, timeout=300, check=True, cwd=folder).stdout


def test_every_metric_is_described_as_it_is() -> None:
    """Kind, unit, attributes and meaning; and no other."""
    page = (ROOT / "docs" / "observability.md").read_text()
    section = page.partition("## Metrics\n")[2].partition("\n## ")[0]
    rows = {row.split("`")[1]: row for row in section.splitlines() if row.startswith("| `")}
    known = {
        each.name: "| `{}` | {} | `{}` | {} | {} |".format(
            each.name,
            each.kind,
            each.unit,
            ", ".join(f"`{name}`" for name in each.attributes) or "none",
            each.description,
        )
        for each in METRICS.values()
    }

    assert known == rows


def test_every_alert_is_described_as_it_is() -> None:
    """Severity, window and meaning; and no other."""
    page = (ROOT / "docs" / "observability.md").read_text()
    section = page.partition("## Dashboard and alerts on Azure\n")[2].partition("\n## ")[0]
    known = [f"| `{each.name}` | {each.severity} | {each.minutes} | {each.meaning} |" for each in ALERTS]

    assert known == [row for row in section.splitlines() if row.startswith("| `")]


def test_no_attribute_tells_who_or_what() -> None:
    """Neither an id nor a place, a party, a person or a token: a metric has few series, and nobody in them."""
    names = {name for each in METRICS.values() for name in each.attributes}
    forbidden = re.compile(r"id$|party|person|user|cursor|token|instance|subject|source_|path|url|query")

    assert [] == [name for name in names if forbidden.search(name)]
