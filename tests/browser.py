"""A real browser, headless, that knows nothing of the world outside this machine."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
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
