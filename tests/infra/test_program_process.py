"""The process that runs programs for simulations: an answer belongs to its run."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.infra.simulation import program_process
from tests.infra.simulation.language_host import ProgramRun
from tests.infra.simulation.program_process import run_program

# A host whose answer has the name of the program.
HOST = """
import json, sys
for line in sys.stdin:
    print(json.dumps([0, json.loads(line)[0]]), flush=True)
"""


class InterruptedPipe:
    """A pipe whose reader is interrupted while it waits."""

    def readline(self) -> str:
        """See `io.TextIOBase`."""
        raise KeyboardInterrupt


def run_of(program: str) -> ProgramRun:
    """A run of a program of this name."""
    return ProgramRun(program, "", "", "", "", dry_run=False, config="{}", secret_keys="[]")


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list["subprocess.Popen[str]"]]:
    """The hosts that were started, each of which answers with the name of the program."""
    started = list[subprocess.Popen[str]]()

    def popen(*_: object, **__: object) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        host = subprocess.Popen([sys.executable, "-c", HOST], stdin=pipe, stdout=pipe, text=True)
        started.append(host)
        return host

    monkeypatch.setattr(program_process, "_start", popen)
    program_process._host.cache_clear()
    yield started
    program_process._host.cache_clear()
    for host in started:
        host.kill()
        host.communicate()


def test_run_after_an_interrupted_one_gets_its_own_answer(
    hosts: list["subprocess.Popen[str]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is never read. A new host runs the next program."""
    assert (0, "zero") == run_program(run_of("zero"))

    with monkeypatch.context() as fault:
        fault.setattr(hosts[0], "stdout", InterruptedPipe())
        with pytest.raises(KeyboardInterrupt):
            run_program(run_of("first"))

    assert (0, "second") == run_program(run_of("second"))
    assert 2 == len(hosts)
