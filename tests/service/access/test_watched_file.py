"""A watched file: a change is read, and there is no value while the file is invalid."""

import asyncio
import os
from importlib.resources import files
from pathlib import Path

import pytest

from eventfeed.access import watched_file
from eventfeed.access.watched_file import WatchedFile
from eventfeed.domain.errors import Unavailable
from eventfeed.settings import SettingsError

BUILTIN = files("eventfeed.access").joinpath("policies.cedar")


def parse_number(text: bytes) -> int:
    """Parse the content of the files of these tests."""
    return int(text)


@pytest.fixture(autouse=True)
def check_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the file on every call."""
    monkeypatch.setattr(watched_file, "CHECK_SECONDS", 0.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with the value 1."""
    file = tmp_path / "number"
    file.write_text("1")
    return file


def open_file(file: Path | None) -> WatchedFile[int]:
    """Return the watched file of a setting."""
    return WatchedFile("EVENTFEED_NUMBER", file, builtin=BUILTIN, parse=parse_number if file else len)


async def test_changed_file_is_read_again(file: Path) -> None:
    """This holds after a write, and after a replacement with the same length and time."""
    number, times = open_file(file), file.stat()
    before = await number.current()
    file.write_text("23")
    after_write = await number.current()
    other = file.with_suffix(".new")
    other.write_text("45")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(file)

    assert (1, 23, 45) == (before, after_write, await number.current())


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/stdin", "fifo"])
def test_device_or_pipe_is_refused_without_reading_it(tmp_path: Path, name: str) -> None:
    """A read would not end, or would wait for a writer."""
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(SettingsError, match=r"EVENTFEED_NUMBER=.*a device or a pipe; write the content to a file"):
        open_file(tmp_path / name)


async def test_huge_file_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read up to the limit, at the start and later."""
    monkeypatch.setattr(watched_file, "FILE_BYTES_MAX", 3)
    number = open_file(file)
    file.write_text("1234")
    with pytest.raises(Unavailable):
        await number.current()
    with pytest.raises(SettingsError, match="more than 3 bytes"):
        open_file(file)


async def test_file_that_became_invalid_is_unavailable(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The last value is not used. The fault is logged, and a valid file is used again."""
    number = open_file(file)
    for content in (b"x", None):
        file.write_bytes(content) if content else file.unlink()
        with pytest.raises(Unavailable, match="EVENTFEED_NUMBER"):
            await number.current()
    file.write_text("7")

    assert 7 == await number.current()
    assert "EVENTFEED_NUMBER" in caplog.text


async def test_concurrent_callers_share_one_check(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next check is some time later."""
    monkeypatch.setattr(watched_file, "CHECK_SECONDS", 60.0)
    number = open_file(file)
    await asyncio.gather(*(number.current() for _ in range(9)))
    file.write_text("2")

    assert 1 == await number.current()


async def test_empty_setting_uses_the_built_in_file() -> None:
    """The built-in file is read once."""
    assert len(BUILTIN.read_bytes()) == await open_file(None).current()


@pytest.mark.parametrize("text", [None, b"x"])
def test_invalid_file_at_the_start_is_a_settings_error(tmp_path: Path, text: bytes | None) -> None:
    """The error has the name of the file and the reason."""
    file = tmp_path / "number"
    if text:
        file.write_bytes(text)

    with pytest.raises(SettingsError, match=r"EVENTFEED_NUMBER=.*number: "):
        open_file(file)
