"""Runs a Pulumi program as Pulumi's command line does for Python: one process, the engine's addresses as arguments.

Configuration is in PULUMI_CONFIG and PULUMI_CONFIG_SECRET_KEYS. The program's folder is where it runs and is first
on its path; this file's own folder is not on it.
"""

import argparse
import asyncio
import gc
import os
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pulumi
from pulumi.runtime import config, settings, stack

_THREADS = 32


def main() -> None:
    """Run the program to its end; what it raises ends the process with 1."""
    parser = argparse.ArgumentParser()
    for name in ("monitor", "engine", "project", "stack", "root"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("program", type=Path)
    given = parser.parse_args()
    settings.configure(
        pulumi.runtime.Settings(
            monitor=given.monitor,
            engine=given.engine,
            project=given.project,
            stack=given.stack,
            root_directory=given.root,
            organization="organization",
            dry_run=given.dry_run,
        ),
    )
    config.set_all_config(config.get_config_env(), config.get_config_secret_keys_env())
    # Nearly all that is made lives to the end: to look for garbage takes a third of a run.
    gc.disable()
    os.chdir(given.program)
    sys.path[0] = str(given.program)
    asyncio.run(_run(given.program))


async def _run(program: Path) -> None:
    # What is registered at once is asked for at once, however slow some of it is.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
    await stack.run_in_stack(lambda: _program(program))


def _program(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")


if __name__ == "__main__":
    main()
