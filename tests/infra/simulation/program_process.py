"""The process that runs the programs of this process's simulations."""

import atexit
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.infra.simulation.language_host import ProgramRun

ROOT = Path(__file__).parents[3]


def run_program(run: ProgramRun) -> tuple[int, str]:
    """Run a program; return its exit code and its output."""
    host = _host()
    assert host.stdin
    assert host.stdout
    try:
        host.stdin.write(json.dumps(run) + "\n")
        host.stdin.flush()
        code, output = json.loads(host.stdout.readline())
    except BaseException:  # the next run must not read the answer of this one
        host.kill()
        _host.cache_clear()
        raise
    return int(code), str(output)


@functools.cache
def _host() -> subprocess.Popen[str]:
    host = _start()
    atexit.register(host.communicate)  # closes its input, which ends it
    return host


def _start() -> subprocess.Popen[str]:
    # Without PYTHONPATH the program imports only installed packages and its own folder.
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "PYTHONPATH"))}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.infra.simulation.language_host", str(ROOT / "infra")],
        cwd=ROOT,
        env={**variables, "PULUMI_ERROR_OUTPUT_STRING": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
