"""How fast pages are served: the service and the bare handler in turn, the best of some rounds of each."""

import re
import shutil
import subprocess
from collections.abc import Mapping

ROUNDS = 3
SECONDS = 3
CONNECTIONS = 32


class Target:
    """A URL with headers, measured with `wrk` from one thread."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._command = [_wrk(), "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s"]
        for name, value in headers.items():
            self._command += ["-H", f"{name}: {value}"]
        self._command.append(url)
        self.best = 0.0

    def measure(self) -> None:
        """Run once, and keep the best rate (requests a second). Raises `RuntimeError` when something was refused."""
        printed = subprocess.run(self._command, capture_output=True, check=True).stdout.decode()
        rate = re.search(r"Requests/sec:\s+([0-9.]+)", printed)
        if rate is None or "Non-2xx" in printed:
            raise RuntimeError(printed)
        self.best = max(self.best, float(rate[1]))


def compare(ours: Target, bare: Target) -> None:
    """Measure both in turn, so that a noisy moment meets both."""
    for _ in range(ROUNDS):
        ours.measure()
        bare.measure()


def _wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise RuntimeError("wrk is not here; Debian has it as a package of that name")
    return found
