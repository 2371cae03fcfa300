"""Runs a Pulumi program as Pulumi's command line does for Python: one process, the engine's addresses as arguments.

Configuration is in PULUMI_CONFIG and PULUMI_CONFIG_SECRET_KEYS. The program's folder is where it runs and is first
on its path; this file's own folder is not on it.
"""

import argparse
import asyncio
import os
import runpy
import sys
from pathlib import Path

import pulumi
from pulumi.runtime import config, settings, stack


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
    os.chdir(given.program)
    sys.path[0] = str(given.program)
    asyncio.run(stack.run_in_stack(lambda: _run(given.program)))


def _run(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")


if __name__ == "__main__":
    main()
