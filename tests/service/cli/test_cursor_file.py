"""A cursor file: a regular file, of one feed and one output, for one process at a time."""

import os
from pathlib import Path

import click
import pytest

from eventfeed.cli.cursor_file import CursorFile


def cursor_file(path: Path, *, feed: str = "feed", output: Path | None = None) -> CursorFile:
    """Return a cursor file of this feed."""
    return CursorFile(path, feed=feed, output=output)


def test_position_is_stored_for_the_user_alone(tmp_path: Path) -> None:
    """Feeds and cursors name parties."""
    file = cursor_file(tmp_path / "c")
    file.save(cursor="a", output_bytes=0)
    position = file.load()

    assert position is not None
    assert "a" == position.cursor
    assert 0o600 == (tmp_path / "c").stat().st_mode & 0o777


def test_second_process_is_refused(tmp_path: Path) -> None:
    """A lock is released at the end of the first."""
    first, second = cursor_file(tmp_path / "c"), cursor_file(tmp_path / "c")
    in_use = pytest.raises(click.ClickException, match="in use by another process")
    with first.locked(), in_use, second.locked():
        pass
    with second.locked():
        pass


def use(file: CursorFile) -> None:
    """Lock, read and write a cursor file."""
    with file.locked():
        file.load()
        file.save(cursor="a", output_bytes=0)


@pytest.mark.parametrize("name", ["c", "c.draft", "c.lock"])
@pytest.mark.parametrize("kind", ["symlink", "dangling symlink", "FIFO", "folder", "device"])
def test_special_file_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    """Neither the target of a link changes, nor does the command wait."""
    target = tmp_path / "target"
    path = tmp_path / name
    if kind == "symlink":
        target.write_text("precious")
        path.symlink_to(target)
    elif kind == "dangling symlink":
        path.symlink_to(target)
    elif kind == "device":
        path.symlink_to("/dev/null")
    elif kind == "FIFO":
        os.mkfifo(path)
    else:
        path.mkdir()

    file = cursor_file(tmp_path / "c")
    with pytest.raises(click.ClickException, match="not a regular file"):
        use(file)

    assert kind != "symlink" or target.read_text() == "precious"
    assert kind != "dangling symlink" or not target.exists()


@pytest.mark.parametrize("other", [{"feed": "other"}, {"output": Path("/x")}], ids=["another feed", "another output"])
def test_cursor_file_of_something_else_is_refused(tmp_path: Path, other: dict[str, Path]) -> None:
    """The message names both."""
    cursor_file(tmp_path / "c").save(cursor="a", output_bytes=0)

    with pytest.raises(click.ClickException, match="belongs to"):
        cursor_file(tmp_path / "c", **other).load()  # type: ignore[arg-type]  # one of both
