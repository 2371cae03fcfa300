"""A headless browser without network access beyond this machine."""

import base64
import itertools
import json
import os
import shutil
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websocket import WebSocket, create_connection

from tests.support.waiting import WAIT_SECONDS_MAX, wait_until

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1400,1000",
)

# A script that fails to load is not loaded again by the page itself.
_LOAD_SECONDS = (20.0, 40.0, WAIT_SECONDS_MAX)
_ERRORS_MAX, _ERROR_LENGTH_MAX, _DOCUMENT_LENGTH_MAX = 20, 1_000, 4_000


def browser_path() -> str:
    """Return the path of a browser. Without one, skip the test; in CI, fail it."""
    path = next((path for name in _NAMES if (path := shutil.which(name))), "")
    if not path:
        assert not os.environ.get("CI"), "there is no browser: `.ci/run` installs one"
        pytest.skip("there is no browser on this machine")
    return path


def rendered_document(url: str, *, profile: Path) -> str:
    """The document at this address after its scripts have run."""
    options = [*_OPTIONS, f"--user-data-dir={profile}", "--virtual-time-budget=8000", "--dump-dom"]
    command = [browser_path(), *options, url]
    return subprocess.run(command, capture_output=True, timeout=WAIT_SECONDS_MAX, check=True).stdout.decode()


@contextmanager
def open_window(url: str, *, profile: Path) -> Iterator[None]:
    """Open a window on this address while the block lasts, in real time."""
    command = [browser_path(), *_OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-port=0", url]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=WAIT_SECONDS_MAX)


class Window:
    """A window of the browser, under control of the test by the Chrome DevTools Protocol.

    It collects errors of scripts, of the console and of loads, and reports them if a wait fails.
    """

    def __init__(self, connection: WebSocket) -> None:
        self._connection, self._numbers = connection, itertools.count(1)
        self._errors = deque[str](maxlen=_ERRORS_MAX)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def load(self, url: str, *, until: str) -> None:
        """Load a page until the value of this script is true. A page that stays incomplete is loaded again."""
        for seconds in _LOAD_SECONDS:
            navigation = self._call("Page.navigate", url=url)
            assert "errorText" not in navigation, navigation
            with suppress(AssertionError):
                wait_until(lambda: self.evaluate(f"document.readyState === 'complete' && ({until})"), timeout=seconds)
                return
        raise AssertionError(until, *self._report())

    def evaluate(self, expression: str) -> Any:
        """Evaluate a script in the page, and return its value."""
        outcome = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in outcome, outcome
        return outcome["result"].get("value")

    def wait_until(self, expression: str) -> Any:
        """Evaluate a script until its value is true, and return that value."""
        try:
            return wait_until(lambda: self.evaluate(expression))
        except AssertionError as failure:
            raise AssertionError(expression, *self._report()) from failure

    def emulate_dark_mode(self) -> None:
        """Prefer dark colours, as a user's system may."""
        features = [{"name": "prefers-color-scheme", "value": "dark"}]
        self._call("Emulation.setEmulatedMedia", features=features)

    def contrast_faults(self) -> Sequence[str]:
        """Return the texts whose contrast is too low."""
        faults: Sequence[str] = self.evaluate((Path(__file__).with_name("contrast.js")).read_text())
        return faults

    def press(self, key: str) -> None:
        """Press and release a key."""
        code = {"Enter": 13, "Tab": 9}[key]
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if (key, kind) == ("Enter", "keyDown") else {}
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def screenshot(self, path: Path) -> None:
        """Write a picture of the page as a PNG file."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _report(self) -> Sequence[str]:
        """Return the document of the page, and the errors since it was opened."""
        document = self.evaluate("location.href + '\\n' + document.documentElement?.outerHTML")
        return [str(document)[:_DOCUMENT_LENGTH_MAX], *self._errors]

    def _call(self, method: str, **parameters: object) -> Any:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv())
            if message.get("id") == number:
                assert "result" in message, message
                return message["result"]
            if _is_error(message):
                self._errors.append(json.dumps(message["params"])[:_ERROR_LENGTH_MAX])


def _is_error(message: Mapping[str, Any]) -> bool:
    """True if an event of the protocol is about an exception, an error in the console, or a failed load."""
    match message:
        case {"method": "Runtime.exceptionThrown" | "Network.loadingFailed" | "Inspector.targetCrashed"}:
            return True
        case {"method": "Runtime.consoleAPICalled", "params": {"type": "error"}}:
            return True
        case {"method": "Log.entryAdded", "params": {"entry": {"level": "error"}}}:
            return True
        case _:
            return False


@contextmanager
def controlled_window(*, profile: Path) -> Iterator[Window]:
    """Open an empty window, under control of the test, while the block lasts."""
    with open_window("about:blank", profile=profile):
        port_file = profile / "DevToolsActivePort"
        port = wait_until(lambda: port_file.read_text().split() if port_file.exists() else [])[0]
        pages = httpx.get(f"http://127.0.0.1:{port}/json", timeout=WAIT_SECONDS_MAX).json()
        address = next(each["webSocketDebuggerUrl"] for each in pages if each["type"] == "page")
        connection = create_connection(address, suppress_origin=True, timeout=WAIT_SECONDS_MAX)
        try:
            yield Window(connection)
        finally:
            connection.close()
