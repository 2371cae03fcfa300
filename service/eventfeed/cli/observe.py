"""The page beside a service that shows what it tells of itself."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from eventfeed.settings import SettingsError

STOP_SECONDS_MAX = 10.0
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
# Everything, and soon: whoever looks wants to see what was just done.
_OFTEN = {
    "OTEL_TRACES_SAMPLER_ARG": "1.0",
    "OTEL_BSP_SCHEDULE_DELAY": "500",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    "OTEL_LOGS_EXPORTER": "none",
}


@contextmanager
def observed(port: int) -> Iterator[str]:
    """The page while the block lasts, at the next port or any that is free; its address.

    What this process starts meanwhile sends there. Raises `SettingsError` when it is to send elsewhere already.
    """
    if os.environ.get(ENDPOINT):
        raise SettingsError(f"{ENDPOINT} is set: the service cannot be observed there and here.")
    url = f"http://127.0.0.1:{_free(port + 1)}"
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--factory", "--no-ws", "--log-level", "warning"]
    command += ["--host", "127.0.0.1", "--port", url.rpartition(":")[2], "eventfeed.devtools.app:create"]
    process = subprocess.Popen(command)  # noqa: S603  # our own
    os.environ |= {ENDPOINT: url, **{name: value for name, value in _OFTEN.items() if name not in os.environ}}
    try:
        yield url
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()


def _free(wanted: int) -> int:
    """This port of this machine when nobody listens on it, or any other."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return int(probe.getsockname()[1])
    raise SettingsError("No port is free for the page that observes.")
