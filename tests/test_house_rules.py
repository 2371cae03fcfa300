"""The house style, as far as a machine can tell."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICE = sorted((ROOT / "service").rglob("*.py"))
ALL = sorted(file for folder in ("service", "infra", "tests", "loadtests") for file in (ROOT / folder).rglob("*.py"))

FUNCTION_LINES_MAX = 40
MODULE_LINES_MAX = 400
PARAMETERS_MAX = 5
POSITIONAL_MAX = 2
TOP_LEVEL = {
    *("infra", "service", "loadtests", "tests", "docs", ".github", ".ci", "requirements"),
    *("Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.prod.yaml"),
    *("pyproject.toml", "Makefile", "README.md", "CHANGELOG.md", ".gitignore", ".dockerignore"),
}
EMPTY_NAMES = re.compile(r"(^|_)(utils?|helpers?|common|manager|misc|base)(_|$)")


def tracked() -> list[Path]:
    """Every file of the project."""
    command = ["git", "ls-files"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file, inner ones included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def named(file: Path, function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Where a function is."""
    return f"{file.relative_to(ROOT)}:{function.lineno} {function.name}"


def test_the_top_level_holds_what_it_should() -> None:
    """Little else than the rooms of the house."""
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} <= TOP_LEVEL


def test_a_function_fits_in_the_eye() -> None:
    """None is longer than 40 lines; nine of ten in the service fit in 24."""
    lengths = {
        named(file, function): (function.end_lineno or 0) - function.lineno + 1
        for file in ALL
        for function in functions(file)
        # What only lists routes or commands is as long as its list.
        if not function.name.endswith("_routes")
    }
    service = sorted(length for name, length in lengths.items() if name.startswith("service"))

    assert {} == {name: length for name, length in lengths.items() if length > FUNCTION_LINES_MAX}
    assert service[len(service) * 9 // 10] <= 24


@pytest.mark.parametrize("file", ALL, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_is_no_book(file: Path) -> None:
    """At most 400 lines of service; tests may list more cases."""
    most = MODULE_LINES_MAX if ROOT / "service" in file.parents else 2 * MODULE_LINES_MAX

    assert len(file.read_text().splitlines()) <= most


def test_parameters_are_few_and_named() -> None:
    """At most five, and after the second they are given by name."""
    over = []
    for file in SERVICE:
        for function in functions(file):
            arguments = function.args
            positional = [
                each.arg for each in arguments.posonlyargs + arguments.args if each.arg not in ("self", "cls")
            ]
            command = any("command" in ast.unparse(decorator) for decorator in function.decorator_list)
            if (
                len(positional) > POSITIONAL_MAX + 3 * command
                or len(positional) + len(arguments.kwonlyargs) > PARAMETERS_MAX
            ):
                over.append(named(file, function))

    assert [] == over


def test_modules_are_named_for_an_idea() -> None:
    """No utils, helpers, common, manager."""
    assert [] == [str(file.relative_to(ROOT)) for file in ALL if EMPTY_NAMES.search(file.stem)]


def test_every_test_says_what_it_shows() -> None:
    """A sentence under each name."""
    silent = [
        named(file, function)
        for file in ALL
        if file.name.startswith("test_")
        for function in functions(file)
        if function.name.startswith("test_") and not (ast.get_docstring(function) or "").endswith((".", ":"))
    ]

    assert [] == silent


def test_time_and_chance_come_from_the_composition_root() -> None:
    """Below it nobody reads the clock of the wall, rolls dice or makes ids by itself."""
    forbidden = re.compile(r"datetime\.now\(|time\.time|uuid4\(|random\.random\(")
    rooms = [file for file in SERVICE if {"domain", "log", "access"} & set(file.parts)]

    assert [] == [str(file) for file in rooms if forbidden.search(file.read_text())]


def test_broad_excepts_are_few() -> None:
    """At most one `except Exception` for each long-running loop, and none that hides what it caught."""
    broad = [str(file.relative_to(ROOT)) for file in SERVICE if re.search(r"except (Base)?Exception", file.read_text())]

    log = "service/eventfeed/log"
    loops = ["service/eventfeed/app.py", f"{log}/appender.py", f"{log}/sqlite_threads.py", f"{log}/tail.py"]
    loops.append("service/eventfeed/telemetry/export.py")

    assert loops == broad


def test_no_file_names_a_machine_or_a_registry() -> None:
    """No machine paths, no registry hosts, no keys."""
    forbidden = re.compile(
        rb"/(?:home|root|Users)/\w|/work/main|pypi\.org|pythonhosted|registry\.npmjs|deb\.debian|BEGIN (RSA )?PRIVATE",
    )
    found = [
        str(file.relative_to(ROOT))
        for file in tracked()
        if file != Path(__file__) and forbidden.search(file.read_bytes())
    ]

    assert [] == found
