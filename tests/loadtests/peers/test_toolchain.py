"""The programs of the comparison: refused with a remedy where Go or Redis is missing, and pinned by sum."""

import subprocess
import sys
from pathlib import Path

import pytest
from loadtests.peers.toolchain import FOLDER, MissingProgramError, redis, versions

from loadtests.peers import __main__ as program

ROOT = Path(__file__).parents[3]


def run_peers(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the program with the commands of a folder alone."""
    command = [sys.executable, "-m", "loadtests.peers", "--short"]
    environment = {"PATH": str(folder)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def write_go(folder: Path, script: str) -> None:
    """Write a command `go`."""
    file = folder / "go"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_program_without_go_ends_with_the_remedy(tmp_path: Path) -> None:
    """Nothing is measured, and the exit code is 2."""
    process = run_peers(tmp_path)

    assert (program.NOTHING, "") == (process.returncode, process.stdout)
    assert "make peers needs Go 1.26.0 or newer, and there is no `go` on the PATH: install Go" in process.stderr


def test_program_with_an_old_go_names_both_versions(tmp_path: Path) -> None:
    """Debian's Go may be too old for the modules."""
    write_go(tmp_path, "echo go1.19.8")
    process = run_peers(tmp_path)

    assert program.NOTHING == process.returncode
    assert "make peers needs Go 1.26.0 or newer, and `go version` prints go1.19.8." in process.stderr


def test_program_that_cannot_be_built_ends_with_the_reason(tmp_path: Path) -> None:
    """The message of Go is printed."""
    write_go(tmp_path, 'if [ "$1" = env ]; then echo go1.99; else echo "no network" >&2; exit 1; fi')
    process = run_peers(tmp_path)

    assert program.NOTHING == process.returncode
    assert "load cannot be built:\nno network" in process.stderr


def test_system_without_its_programs_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Redis the others are measured, a line names the package, and the exit code is 1."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["make peers"])
    monkeypatch.setattr(program, "build", lambda _: None)
    monkeypatch.setattr(program, "compare", lambda *_, **__: ([], []))

    assert program.INCOMPLETE == program.main()
    output = capsys.readouterr()
    assert "Centrifugo is left out: Centrifugo stores its history in Redis: install Debian's package" in output.err
    assert "| measurement | unit | eventfeed | NATS | ratio to NATS |" in output.out


def test_redis_is_found_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of a missing Redis names the package of Debian."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgramError, match="redis-server"):
        redis()
    (tmp_path / "redis-server").touch(mode=0o755)

    assert tmp_path / "redis-server" == redis()


def test_every_module_is_pinned_by_sum() -> None:
    """`go.sum` has the sum of each server in the version of `go.mod`, so another content is refused."""
    sums = (FOLDER / "go.sum").read_text()

    assert {"nats-server", "centrifugo"} == versions().keys()
    assert f"github.com/nats-io/nats-server/v2 {versions()['nats-server']} h1:" in sums
    assert f"github.com/centrifugal/centrifugo/v6 {versions()['centrifugo']} h1:" in sums
