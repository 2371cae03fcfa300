"""A real browser, headless, that knows nothing of the world outside this machine."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websocket import WebSocket, create_connection

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1400,1000",
)


def browser() -> str:
    """The browser of this machine; where there is none the test is skipped, and in CI fails."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), "")
    if not found:
        assert not os.environ.get("CI"), "there is no browser: `.ci/run` installs one"
        pytest.skip("there is no browser on this machine")
    return found


def dumped(url: str, *, profile: Path) -> str:
    """The document at this address as its scripts have made it."""
    command = [browser(), *_QUIET, f"--user-data-dir={profile}", "--virtual-time-budget=8000", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, timeout=60, check=True).stdout.decode()


@contextmanager
def looking_at(url: str, *, profile: Path) -> Iterator[None]:
    """A window on this address while the block lasts, in real time."""
    command = [browser(), *_QUIET, f"--user-data-dir={profile}", "--remote-debugging-port=0", url]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


class Window:
    """A window of the browser that can be asked and told things, by the browser's own protocol (CDP)."""

    def __init__(self, connection: WebSocket) -> None:
        self._connection, self._numbers = connection, itertools.count(1)

    def evaluate(self, expression: str) -> Any:
        """What a script says in the page."""
        told = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def until(self, expression: str, *, seconds: float = 30.0) -> Any:
        """Wait until a script says something that is true, and what it was."""
        deadline = time.monotonic() + seconds
        while not (found := self.evaluate(expression)):
            assert time.monotonic() < deadline, (expression, self.evaluate("document.body.innerText"))
            time.sleep(0.1)
        return found

    def screenshot(self, path: Path) -> None:
        """What it looks like, as a PNG file."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _call(self, method: str, **parameters: object) -> Any:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._connection.recv())
            if told.get("id") == number:
                return told["result"]


@contextmanager
def driving(url: str, *, profile: Path) -> Iterator[Window]:
    """A window on this address while the block lasts."""
    with looking_at(url, profile=profile):
        deadline, announced = time.monotonic() + 20, profile / "DevToolsActivePort"
        while not (announced.exists() and announced.read_text().strip()):
            assert time.monotonic() < deadline, "the browser did not start"
            time.sleep(0.05)
        port = announced.read_text().split()[0]
        pages = httpx.get(f"http://127.0.0.1:{port}/json").json()
        where = next(each["webSocketDebuggerUrl"] for each in pages if each["type"] == "page")
        connection = create_connection(where, suppress_origin=True, timeout=30)
        try:
            yield Window(connection)
        finally:
            connection.close()
