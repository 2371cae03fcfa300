"""The package: the base is the client, extras add the other parts, and type information is included."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

from tests.support.service import clean_environment, free_port

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
# An upper limit for a dependency of other packages.
LIMITS = {"protobuf"}


class Installation(NamedTuple):
    """A virtual environment with the wheel and the packages of the base, and a folder with those of the extra `cli`."""

    folder: Path
    cli_packages: Path

    def run(self, *command: str, with_cli: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment."""
        paths = {"PYTHONPATH": str(self.cli_packages)} if with_cli else {}
        program, *arguments = command
        return run([str(self.folder / "bin" / program), *arguments], folder=self.folder, **paths)


def run(command: Sequence[str], *, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder."""
    return subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def names(requirements: Sequence[str]) -> set[str]:
    """Return the names of requirements."""
    return {Requirement(each).name for each in requirements}


def with_dependencies(requirements: Sequence[str]) -> Iterator[importlib.metadata.Distribution]:
    """Yield the distributions of requirements and all their dependencies."""
    queue, visited_names = [*requirements], set[str]()
    while queue:
        requirement = Requirement(queue.pop())
        if requirement.name in visited_names or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        visited_names.add(requirement.name)
        distribution = importlib.metadata.distribution(requirement.name)
        queue += distribution.requires or []
        yield distribution


def link_packages(requirements: Sequence[str], folder: Path) -> None:
    """Link requirements and their dependencies from the environment of the tests, so that no registry is needed."""
    for distribution in with_dependencies(requirements):
        for name in {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}:
            if not (folder / name).exists():
                (folder / name).symlink_to(str(distribution.locate_file(name)))


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation of the wheel with the packages of the base only."""
    folder, wheels, cli = (tmp_path_factory.mktemp(name) for name in ("venv", "wheels", "cli"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    subprocess.run(
        [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT)], check=True
    )
    venv.create(folder, symlinks=True)
    (wheel,) = wheels.iterdir()
    python = str(folder / "bin" / "python")
    subprocess.run([*pip, "--python", python, "install", "-q", "--no-index", "--no-deps", str(wheel)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    link_packages(PROJECT["dependencies"], packages)
    link_packages(EXTRAS["cli"], cli)
    return Installation(folder, cli)


def test_base_package_requires_httpx_and_msgspec_only() -> None:
    """The base is the client. Each other part of the service is an extra."""
    assert {"httpx", "msgspec"} == names(PROJECT["dependencies"])
    assert {"cli", "server", "cosmos", "devtools", "migrate"} == EXTRAS.keys()
    assert "eventfeed[cli]" in EXTRAS["server"]


def test_extras_together_are_the_pinned_requirements() -> None:
    """`make run` and the image install the pinned requirements instead of the extras."""
    lines = (ROOT / "requirements" / "service.in").read_text().splitlines()
    requirements = [line for line in lines if line and not line.startswith(("#", "-"))]
    extras = [each for extra in EXTRAS.values() for each in extra if not each.startswith("eventfeed")]

    assert names(requirements) - LIMITS == names([*PROJECT["dependencies"], *extras])


def test_client_imports_nothing_of_the_extras(installation: Installation) -> None:
    """The client imports neither a package of an extra nor a module of the service."""
    result = installation.run("python", "-c", "import sys, eventfeed.client; print(*sys.modules, sep='\\n')")
    modules = result.stdout.split()
    own = {name.split(".")[1] for name in modules if name.startswith("eventfeed.")}

    assert 0 == result.returncode, result.stderr
    assert {"backoff", "client", "network"} == own
    assert not {"aiohttp", "azure", "click", "litestar", "opentelemetry", "rich"} & set(modules)


def test_readme_example_passes_strict_mypy_without_any(installation: Installation) -> None:
    """The check runs against the installed wheel, so the wheel has `py.typed` and all annotations."""
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = installation.folder / "example.py"
    script.write_text(f"{example}\nreveal_type(event)\nreveal_type(client)\nreveal_type(tokens)\n")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--disallow-any-expr", "--config-file", ""]
    mypy += ["--python-executable", str(installation.folder / "bin" / "python"), str(script)]
    result = run(mypy, folder=installation.folder)

    assert 0 == result.returncode, result.stdout + result.stderr
    assert ["eventfeed.client.events.Event", "eventfeed.client.sync.Client", "eventfeed.client.tokens.Tokens"] == (
        re.findall(r'Revealed type is "(.*)"', result.stdout)
    )


def test_command_without_the_extra_cli_names_it(installation: Installation) -> None:
    """The message is one line, and the exit code is 2."""
    result = installation.run("eventfeed", "--help")

    assert (2, "") == (result.returncode, result.stdout)
    assert "click is not installed; this command needs: pip install 'eventfeed[cli]'\n" == result.stderr


def test_command_with_the_extra_cli_reaches_the_service(installation: Installation) -> None:
    """No package of another extra is missing."""
    url = f"http://127.0.0.1:{free_port()}"
    result = installation.run("eventfeed", "read", "app", "ttd/a", "--url", url, with_cli=True)

    assert 1 == result.returncode
    assert f"No service answers at {url}" in result.stderr


def test_command_without_the_extra_server_names_it(installation: Installation) -> None:
    """The message is one line, and the exit code is 2."""
    result = installation.run("eventfeed", "serve", with_cli=True)

    assert (2, "") == (result.returncode, result.stdout)
    assert re.fullmatch(r".* is not installed; this command needs: pip install 'eventfeed\[server\]'\n", result.stderr)


@pytest.mark.parametrize(
    ("package", "arguments", "store", "extra"),
    [
        ("azure", ["serve"], "cosmos://127.0.0.1:8081/events", "cosmos"),
        ("azure", ["store", "create"], "cosmos://127.0.0.1:8081/events", "cosmos"),
        ("chartkick", ["serve", "--observe"], "sqlite:///log.db", "devtools"),
    ],
)
def test_command_without_another_extra_names_it(
    tmp_path: Path, package: str, arguments: list[str], store: str, extra: str
) -> None:
    """The message is one line, the exit code is 2, and the service does not start."""
    program = f"import sys; sys.modules[{package!r}] = None; from eventfeed.cli import main; main()"
    settings = {"EVENTFEED_STORE": store, "EVENTFEED_PORT": str(free_port())}
    result = run([sys.executable, "-c", program, *arguments], folder=tmp_path, **settings)

    assert (2, "") == (result.returncode, result.stdout)
    assert f"{package} is not installed; this command needs: pip install 'eventfeed[{extra}]'\n" == result.stderr
