"""`make loadtest`: a service of its own on this machine, people who use it, a verdict. With `--ui` Locust's page.

Exit code 3 when a promise was broken, 1 when the run could not be made.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from loadtests.benchmark.serving import service
from loadtests.goals import BROKEN
from loadtests.memory import Memory, remembered

_HERE = Path(__file__).parent
# All load comes from this one address here.
_OPEN_DOORS = {"EVENTFEED_ADDRESS_REQUESTS": "1000000", "EVENTFEED_INSTANCE_REQUESTS": "1000000"}


def main() -> None:
    """Run, and exit as the run went."""
    arguments = argparse.ArgumentParser(prog="make loadtest")
    arguments.add_argument("--ui", action="store_true", help="Locust's page instead of a run")
    arguments.add_argument("--host", default=os.environ.get("LOADTEST_HOST", ""), help="a service that runs already")
    arguments.add_argument("--reports", type=Path, default=Path("loadtest-report"), help="where reports go")
    chosen, more = arguments.parse_known_args()
    chosen.reports.mkdir(parents=True, exist_ok=True)
    # Whoever is told to end takes the people along, and the service.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with _host(chosen.host, chosen.reports) as (host, memory):
        command = [sys.executable, "-m", "locust", "-f", str(_HERE / "locustfile.py"), "--host", host]
        command += ["--web-host", "127.0.0.1"] if chosen.ui else _unattended(chosen.reports)
        code = _ended([*command, *more])
    if memory:
        print(memory.told(), file=sys.stderr)
        if broken := memory.broken():
            print(f"broken: {broken}", file=sys.stderr)
            code = code or BROKEN
    sys.exit(code)


def _ended(command: Sequence[str]) -> int:
    """The exit code of a run. Who interrupts it is told how it went so far."""
    with subprocess.Popen(command, cwd=_HERE.parent) as run:
        try:
            return run.wait()
        except KeyboardInterrupt:
            return run.wait()
        except SystemExit:
            run.terminate()
            raise


def _unattended(reports: Path) -> Sequence[str]:
    place = reports.resolve()
    return ["--headless", "--only-summary", "--html", f"{place}/report.html", "--csv", f"{place}/run"]


@contextlib.contextmanager
def _host(given: str, reports: Path) -> Iterator[tuple[str, Memory | None]]:
    """The service that is named, or one of our own while the block lasts, and what is known of its memory."""
    if given:
        yield given, None
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder), _OPEN_DOORS) as server,
        remembered(server, reports / "memory.csv") as memory,
    ):
        yield server.url, memory


if __name__ == "__main__":
    main()
