"""The programs of the comparison: built from Go modules that `go.mod` and `go.sum` pin, and Redis of the system."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
# Beside the environment of Python, and never committed.
PROGRAMS = Path(sys.prefix) / "peers"
PACKAGES = {
    "load": "./load",
    "nats-server": "github.com/nats-io/nats-server/v2",
    "centrifugo": "github.com/centrifugal/centrifugo/v6",
}
# Centrifugo and NATS with their modules take minutes where Go has not built them before.
BUILD_SECONDS_MAX = 1_800.0


class MissingProgramError(Exception):
    """A program that is not installed or cannot be built; the message has the remedy."""


def program(name: str) -> Path:
    """The path of a program that was built."""
    return PROGRAMS / name


def build(*names: str) -> None:
    """Build programs. Raises `MissingProgramError` without Go, with an old one, and if a build fails."""
    _require_go()
    PROGRAMS.mkdir(exist_ok=True)
    for name in names:
        command = ["go", "build", "-trimpath", "-buildvcs=false", "-o", str(program(name)), PACKAGES[name]]
        process = subprocess.run(
            command,
            cwd=FOLDER,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS_MAX,
            check=False,
        )
        if process.returncode:
            raise MissingProgramError(f"{name} cannot be built:\n{process.stderr[-2_000:]}")


def redis() -> Path:
    """The path of Redis. Raises `MissingProgramError` if it is not installed."""
    path = shutil.which("redis-server")
    if path is None:
        raise MissingProgramError("Centrifugo stores its history in Redis: install Debian's package redis-server.")
    return Path(path)


def versions() -> Mapping[str, str]:
    """The versions of NATS and Centrifugo, as `go.mod` pins them."""
    text = (FOLDER / "go.mod").read_text()
    return {name: _pinned(text, package) for name, package in PACKAGES.items() if name != "load"}


def _pinned(text: str, package: str) -> str:
    match = re.search(rf"^\s*{re.escape(package)} (v\S+)", text, re.MULTILINE)
    if match is None:
        raise MissingProgramError(f"go.mod has no version of {package}")
    return match[1]


def _require_go() -> None:
    needed = _number(re.findall(r"^go (\S+)", (FOLDER / "go.mod").read_text(), re.MULTILINE)[0])
    remedy = f"make peers needs Go {'.'.join(map(str, needed))} or newer"
    if shutil.which("go") is None:
        raise MissingProgramError(f"{remedy}, and there is no `go` on the PATH: install Go, then run it again.")
    version = subprocess.run(
        ["go", "env", "GOVERSION"], cwd=FOLDER, env=_environment(), capture_output=True, text=True, check=False
    ).stdout.strip()
    if _number(version.removeprefix("go")) < needed:
        raise MissingProgramError(f"{remedy}, and `go version` prints {version}.")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _environment() -> Mapping[str, str]:
    """The environment, without the download of another Go."""
    return {**os.environ, "GOTOOLCHAIN": "local"}
