"""`make loadtest`: start a service, simulate its users, and print a verdict. With `--ui`, open Locust's page instead.

Exit code 3 if a goal was missed, 1 if the run could not be made.
"""

import argparse
import contextlib
import html
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from loadtests.benchmark.servers import service
from loadtests.goals import EXIT_MISSED, REPORT_NAME, verdict_file
from loadtests.memory import Memory, recorded_memory

_HERE = Path(__file__).parent
# All requests come from one address.
_NO_RATE_LIMITS = {"EVENTFEED_ADDRESS_REQUESTS": "1000000", "EVENTFEED_INSTANCE_REQUESTS": "1000000"}


def main() -> None:
    """Run Locust, and exit with its code or that of the memory goal."""
    parser = argparse.ArgumentParser(prog="make loadtest")
    parser.add_argument("--ui", action="store_true", help="open Locust's page instead of a run")
    parser.add_argument("--host", default=os.environ.get("LOADTEST_HOST", ""), help="the URL of a running service")
    parser.add_argument("--reports", type=Path, default=Path("loadtest-report"), help="the folder of the reports")
    options, locust_options = parser.parse_known_args()
    options.reports.mkdir(parents=True, exist_ok=True)
    # SIGTERM must also end Locust and the service.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        with _host(options.host, options.reports) as (host, memory):
            command = [sys.executable, "-m", "locust", "-f", str(_HERE / "locustfile.py"), "--host", host]
            command += ["--web-host", "127.0.0.1"] if options.ui else _headless(options.reports)
            code = _run([*command, *locust_options])
    except RuntimeError as failure:
        sys.exit(f"make loadtest: {failure}; its own messages are above")
    _add_verdict(options.reports, verdict_file(options.reports / REPORT_NAME))
    if memory:
        print(memory.summary(), file=sys.stderr)
        if miss := memory.missed_goal():
            print(f"missed: {miss}", file=sys.stderr)
            code = code or EXIT_MISSED
    sys.exit(code)


def _add_verdict(reports: Path, verdict: Path) -> None:
    """Write the verdict at the beginning of Locust's report."""
    file = reports / REPORT_NAME
    if verdict.exists() and file.exists():
        text = f"<body><pre id='verdict'>{html.escape(verdict.read_text())}</pre>"
        file.write_text(file.read_text().replace("<body>", text, 1))


def _run(command: Sequence[str]) -> int:
    """Run a command and return its exit code. After an interrupt, the command still prints its verdict."""
    with subprocess.Popen(command, cwd=_HERE.parent) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            return process.wait()
        except SystemExit:
            process.terminate()
            raise


def _headless(reports: Path) -> Sequence[str]:
    folder = reports.resolve()
    return ["--headless", "--only-summary", "--html", f"{folder}/{REPORT_NAME}", "--csv", f"{folder}/run"]


@contextlib.contextmanager
def _host(host: str, reports: Path) -> Iterator[tuple[str, Memory | None]]:
    """Yield the host, or a new service while the block lasts, with its memory."""
    if host:
        yield host, None
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder), _NO_RATE_LIMITS) as server,
        recorded_memory(server, reports / "memory.csv") as memory,
    ):
        yield server.url, memory


if __name__ == "__main__":
    main()
