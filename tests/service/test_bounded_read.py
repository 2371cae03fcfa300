"""Files of settings are read within a limit."""

import os
from pathlib import Path

import pytest

from eventfeed.bounded_read import read_file


@pytest.mark.parametrize(("content", "is_read"), [(b"", True), (b"1234", True), (b"12345", False)])
def test_file_is_read_up_to_its_limit(tmp_path: Path, content: bytes, *, is_read: bool) -> None:
    """A longer file is refused, not cut."""
    (tmp_path / "file").write_bytes(content)
    if is_read:
        assert content == read_file(tmp_path / "file", bytes_max=4)
    else:
        with pytest.raises(ValueError, match="has more than 4 bytes; shorten the file"):
            read_file(tmp_path / "file", bytes_max=4)


def test_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    """The same holds for a device, which may never end."""
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(ValueError, match="is a device or a pipe"):
            read_file(path, bytes_max=4)


@pytest.mark.parametrize("name", ["", "missing"])
def test_directory_and_missing_file_are_errors_of_the_system(tmp_path: Path, name: str) -> None:
    """Callers print the reason that the system gives."""
    with pytest.raises((FileNotFoundError, IsADirectoryError)):
        read_file(tmp_path / name, bytes_max=4)
