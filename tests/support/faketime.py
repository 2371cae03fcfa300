"""Processes with another clock than the machine's, by libfaketime."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

_LIBRARIES = "/usr/lib/*/faketime/libfaketimeMT.so.1"


def faketime_library() -> str:
    """Return the path of libfaketime. Without it, skip the test; in CI, fail it."""
    path = next(Path("/").glob(_LIBRARIES.lstrip("/")), None)
    if path is None:
        assert not os.environ.get("CI"), "there is no libfaketime: `.ci/run` installs it"
        pytest.skip("there is no libfaketime on this machine")
    return str(path)


class FakeClock:
    """The clock of a process that is started with `environment`. The test moves it while the process runs."""

    def __init__(self, file: Path, *, ahead: int) -> None:
        self._file = file
        self.move(ahead)

    def move(self, ahead: int) -> None:
        """Set the clock ahead of the machine's (s)."""
        replacement = self._file.with_suffix(".new")
        replacement.write_text(f"{ahead:+d}\n")
        replacement.replace(self._file)

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the process. Its monotonic clock is the machine's, and so are the times of files.

        With other times of files, Python would compile every module again.
        """
        return {
            "LD_PRELOAD": faketime_library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
