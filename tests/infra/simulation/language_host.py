"""Runs Pulumi programs as Pulumi's command line does: with the engine's address, the stack and the configuration.

The process imports Pulumi and the modules of the SDKs once, and forks for each run: the imports take several times as
long as a run. A line of standard input is a `ProgramRun`, and a line of standard output its exit code and its output.
The program's folder is the working directory and the first entry of the import path.
"""

import asyncio
import gc
import importlib
import json
import os
import re
import runpy
import signal
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pulumi
from pulumi.runtime import config, settings, stack

from tests.infra.simulation.alias_urns import no_alias_urns

_THREADS = 32
# Ends a program that hangs. A run takes a second on an idle machine; the rest is for a busy one.
_RUN_SECONDS_MAX = 600
_SDK_IMPORT = re.compile(r"^from (pulumi_\w+) import ([\w, ]+)$|^import (pulumi_\w+)$", re.MULTILINE)


class ProgramRun(NamedTuple):
    """A run of a program. `config` and `secret_keys` are JSON, as in the variables of Pulumi's command line."""

    program: str
    engine: str
    project: str
    stack: str
    root: str
    dry_run: bool
    config: str
    secret_keys: str


def main(sources: Path) -> None:
    """Import what the program in `sources` imports, and run each program until the end of the input."""
    for name in _sdk_modules(sources):
        # The SDK loads a module when one of its attributes is first read.
        getattr(importlib.import_module(name), "__version__", None)
    # Nearly every object lives until the end: garbage collection would take a third of a run.
    gc.disable()
    gc.freeze()
    for line in sys.stdin:
        code, output = _run_in_child(ProgramRun(*json.loads(line)))
        print(json.dumps([code, output]), flush=True)


def _sdk_modules(sources: Path) -> Iterator[str]:
    for file in sorted(sources.rglob("*.py")):
        for package, names, module in _SDK_IMPORT.findall(file.read_text()):
            yield from (f"{package}.{name.strip()}" for name in names.split(",") if name)
            yield from [module] if module else []


def _run_in_child(run: ProgramRun) -> tuple[int, str]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, sys.stdout.fileno())
        os.dup2(writer, sys.stderr.fileno())
        os.close(reader)
        signal.alarm(_RUN_SECONDS_MAX)
        os._exit(_run(run))
    os.close(writer)
    with os.fdopen(reader, errors="replace") as file:
        output = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), output


def _run(run: ProgramRun) -> int:
    """Run the program. An exception of the program is printed."""
    try:
        os.environ["PULUMI_CONFIG"], os.environ["PULUMI_CONFIG_SECRET_KEYS"] = run.config, run.secret_keys
        settings.configure(
            pulumi.runtime.Settings(
                monitor=run.engine,
                engine=run.engine,
                project=run.project,
                stack=run.stack,
                root_directory=run.root,
                organization="organization",
                dry_run=run.dry_run,
            ),
        )
        config.set_all_config(config.get_config_env(), config.get_config_secret_keys_env())
        os.chdir(run.program)
        sys.path[0] = run.program
        with no_alias_urns():
            asyncio.run(_run_program(Path(run.program)))
    except BaseException:  # noqa: BLE001  # the end of a process: a program may exit too
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


async def _run_program(program: Path) -> None:
    # One thread for each registration that may be in flight.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
    await stack.run_in_stack(lambda: _start(program))


def _start(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
