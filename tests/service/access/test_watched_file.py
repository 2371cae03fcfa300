"""A file that is read again when it changes, and is never guessed at while it is wrong."""

import asyncio
import os
from importlib.resources import files
from pathlib import Path

import pytest

from eventfeed.access import watched_file
from eventfeed.access.watched_file import WatchedFile
from eventfeed.domain.errors import Unavailable
from eventfeed.settings import SettingsError

BUNDLED = files("eventfeed.access").joinpath("policies.cedar")


def number(text: bytes) -> int:
    """What these files mean."""
    return int(text)


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the file each time."""
    monkeypatch.setattr(watched_file, "LOOK_SECONDS", 0.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that means 1."""
    file = tmp_path / "number"
    file.write_text("1")
    return file


def watched(file: Path | None) -> WatchedFile[int]:
    """The file of a setting."""
    return WatchedFile("EVENTFEED_NUMBER", file, bundled=BUNDLED, read=number if file else len)


async def test_a_change_counts(file: Path) -> None:
    """Whether it was written over or another put in its place, also with the same length and time."""
    watch, times = watched(file), file.stat()
    before = await watch.current()
    file.write_text("23")
    over = await watch.current()
    other = file.with_suffix(".new")
    other.write_text("45")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(file)

    assert (1, 23, 45) == (before, over, await watch.current())


async def test_a_file_that_became_wrong_means_nothing(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not what it meant before; it is told in the log, and counts again when it is right."""
    watch = watched(file)
    for wrong in (b"x", None):
        file.write_bytes(wrong) if wrong else file.unlink()
        with pytest.raises(Unavailable, match="EVENTFEED_NUMBER"):
            await watch.current()
    file.write_text("7")

    assert 7 == await watch.current()
    assert "EVENTFEED_NUMBER" in caplog.text


async def test_looks_are_shared_and_some_time_apart(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask."""
    monkeypatch.setattr(watched_file, "LOOK_SECONDS", 60.0)
    watch = watched(file)
    await asyncio.gather(*(watch.current() for _ in range(9)))
    file.write_text("2")

    assert 1 == await watch.current()


async def test_without_a_file_it_is_what_comes_with_the_service() -> None:
    """For ever."""
    assert len(BUNDLED.read_bytes()) == await watched(None).current()


@pytest.mark.parametrize("text", [None, b"x"])
def test_a_file_that_is_wrong_at_the_start_ends_it(tmp_path: Path, text: bytes | None) -> None:
    """With its name and the reason."""
    file = tmp_path / "number"
    if text:
        file.write_bytes(text)

    with pytest.raises(SettingsError, match=r"EVENTFEED_NUMBER=.*number: "):
        watched(file)
