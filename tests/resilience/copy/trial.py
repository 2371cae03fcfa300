"""Copy a log from SQLite to an emulator of Cosmos DB and back."""

import asyncio
import re
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.emulator.running import emulator
from tests.resilience.copy.cases import fill
from tests.support.service import COMMAND, clean_environment
from tests.support.sqlite_store import digest_of_rows

SECONDS_MAX = 3_600.0
_SECONDS = re.compile(r"(?:Copied \d+ events|Compared) in ([0-9.]+) s")


class Copy(NamedTuple):
    """The output of one copy, and the times that it took to copy and to compare (s)."""

    output: str
    seconds: float
    comparison_seconds: float


class Verdict(NamedTuple):
    """Both copies, and True if the rows of both SQLite files are the same."""

    copies: Sequence[Copy]
    same: bool


def run_trial(events: int, *, file: Path | None = None) -> Verdict:
    """Make a log, copy it there and back, and compare the rows of both files."""
    with emulator() as url, tempfile.TemporaryDirectory(prefix="eventfeed-copy-") as name:
        first, last = Path(name) / "first.db", Path(name) / "last.db"
        database = f"cosmos://{url.removeprefix('http://').rstrip('/')}/{uuid.uuid4().hex}"
        asyncio.run(fill(first, events=events, file=file))
        run_command("store", "create", store=database)
        copies = [copy(f"sqlite:///{first}", database), copy(database, f"sqlite:///{last}")]
        return Verdict(copies, digest_of_rows(first) == digest_of_rows(last))


def copy(source: str, target: str) -> Copy:
    """Copy a store."""
    output = run_command("store", "copy", source, target)
    seconds, comparison_seconds = map(float, _SECONDS.findall(output))
    return Copy(output, seconds, comparison_seconds)


def run_command(*arguments: str, store: str = "sqlite:///unused.db") -> str:
    """Run `eventfeed`, and return its output."""
    result = subprocess.run(
        [COMMAND, *arguments],
        env=clean_environment(EVENTFEED_STORE=store),
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert (0, "") == (result.returncode, result.stderr.decode()), result.stderr.decode()
    return result.stdout.decode()
