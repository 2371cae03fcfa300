"""Runs a Pulumi program in this process as Pulumi's command line does: with the engine's addresses as arguments.

The configuration is in PULUMI_CONFIG and PULUMI_CONFIG_SECRET_KEYS. The program's folder is the working directory and
the first entry of the import path; this file's own folder is not on the import path.
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
    """Run the program. An exception of the program ends the process with exit code 1."""
    arguments = _arguments()
    settings.configure(
        pulumi.runtime.Settings(
            monitor=arguments.monitor,
            engine=arguments.engine,
            project=arguments.project,
            stack=arguments.stack,
            root_directory=arguments.root,
            organization="organization",
            dry_run=arguments.dry_run,
        ),
    )
    config.set_all_config(config.get_config_env(), config.get_config_secret_keys_env())
    # Nearly every object lives until the end: garbage collection would take a third of a run.
    gc.disable()
    os.chdir(arguments.program)
    sys.path[0] = str(arguments.program)
    asyncio.run(_run(arguments.program))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("monitor", "engine", "project", "stack", "root"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("program", type=Path)
    return parser.parse_args()


async def _run(program: Path) -> None:
    # One thread for each registration that may be in flight.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
    await stack.run_in_stack(lambda: _program(program))


def _program(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")


if __name__ == "__main__":
    main()
