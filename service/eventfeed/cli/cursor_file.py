"""A cursor in a file. The file is complete at any moment, also if the process is killed."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

# The mode of a new file: a cursor file names a party.
_MODE = 0o600
# A cursor file has a few hundred bytes.
_BYTES_MAX = 64 * 1024


class FilePosition(msgspec.Struct, frozen=True, kw_only=True):
    """A feed, its last cursor ("" before the first page), the output file ("" for a pipe) and its length then."""

    feed: str
    cursor: str
    output: str
    output_bytes: int


class CursorFile:
    """The file with the position in one feed, for one process at a time."""

    def __init__(self, path: Path, *, feed: str, output: Path | None) -> None:
        self._path, self._feed = path, feed
        self._output = str(output.absolute()) if output else ""

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from using the file while the block lasts. Raises `ClickException` if one uses it."""
        lock = _open(self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise click.ClickException(
                f"{self._path} is in use by another process. Stop it first, or name another cursor file."
            ) from None
        finally:
            os.close(lock)

    def load(self) -> FilePosition | None:
        """Return the position, None if there is no file yet. Raises `ClickException` for a file of another feed."""
        try:
            position = msgspec.json.decode(self._read(), type=FilePosition)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise click.ClickException(f"{self._path} is not a cursor file; name another, or remove it.") from None
        if position.feed != self._feed:
            raise click.ClickException(
                f"{self._path} belongs to another feed:\n  file      {position.feed}\n  command   {self._feed}\n"
                "Use one cursor file a feed, with the same filters each time."
            )
        if position.output != self._output:
            raise click.ClickException(
                f"{self._path} belongs to {position.output or 'a pipe'}, not to {self._output or 'a pipe'}. Nothing is "
                "changed. Name the same --output each time, or a new cursor file."
            )
        return position

    def _read(self) -> bytes:
        file = _open(self._path, os.O_RDONLY)
        try:
            return os.read(file, _BYTES_MAX)
        finally:
            os.close(file)

    def save(self, *, cursor: str, output_bytes: int) -> None:
        """Store a position. The old one stays until the new one is on the disk."""
        position = FilePosition(feed=self._feed, cursor=cursor, output=self._output, output_bytes=output_bytes)
        draft = self._path.with_name(f"{self._path.name}.draft")
        with os.fdopen(_open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(msgspec.json.encode(position))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _open(path: Path, flags: int) -> int:
    """Open a regular file: neither follow a link that somebody else made, nor wait for the other end of a pipe."""
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, _MODE)
    except FileNotFoundError:
        raise
    except OSError as failure:
        is_special = failure.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR)
        reason = "it is not a regular file" if is_special else failure.strerror
        raise click.ClickException(f"{path} cannot be opened: {reason}.") from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise click.ClickException(f"{path} cannot be opened: it is not a regular file.")
    return file
