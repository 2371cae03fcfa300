"""The page that shows traces and charts of the service."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from eventfeed.settings import SettingsError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
# All traces, and without a delay: the page shows the latest requests.
_EXPORT = {
    "OTEL_TRACES_SAMPLER_ARG": "1.0",
    "OTEL_BSP_SCHEDULE_DELAY": "500",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    "OTEL_LOGS_EXPORTER": "none",
}


@contextmanager
def telemetry_page(port: int) -> Iterator[str]:
    """Serve the page during the block, on the port after `port` or any other; the value is its address.

    Processes that start during the block export to it. Raises `SettingsError` if they export elsewhere already.
    """
    if os.environ.get(ENDPOINT):
        raise SettingsError(f"{ENDPOINT} is set: the service exports there, so it cannot export to the page.")
    if find_spec("chartkick") is None:
        raise ModuleNotFoundError("No module named 'chartkick'", name="chartkick")
    url = f"http://127.0.0.1:{_free_port(port + 1)}"
    command = [sys.executable, "-m", "eventfeed.devtools", url.rpartition(":")[2]]
    # The page ends with its standard input, and so with this process.
    process = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603  # our own
    os.environ |= {ENDPOINT: url, **{name: value for name, value in _EXPORT.items() if name not in os.environ}}
    try:
        yield url
    finally:
        process.kill()
        process.communicate()


def _free_port(first: int) -> int:
    """Return this port if it is free, or any other."""
    for port in (first, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return int(probe.getsockname()[1])
    raise SettingsError("No port is free for the page of traces and charts.")
