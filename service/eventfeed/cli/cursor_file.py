"""A cursor in a file. The file is complete at any moment, also if the process is killed."""

import os
from pathlib import Path

import click
import msgspec


class FilePosition(msgspec.Struct, frozen=True, kw_only=True):
    """A feed, its last cursor ("" before the first page), the output file ("" for a pipe) and its length then."""

    feed: str
    cursor: str
    output: str
    output_bytes: int


class CursorFile:
    """The file with the position in one feed."""

    def __init__(self, path: Path, *, feed: str, output: Path | None) -> None:
        self._path, self._feed = path, feed
        self._output = str(output.absolute()) if output else ""

    def load(self) -> FilePosition | None:
        """Return the position, None if there is no file yet. Raises `ClickException` for a file of another feed."""
        try:
            position = msgspec.json.decode(self._path.read_bytes(), type=FilePosition)
        except FileNotFoundError:
            return None
        except OSError as failure:
            raise click.ClickException(f"{self._path} cannot be read: {failure.strerror}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise click.ClickException(f"{self._path} is not a cursor file; name another, or remove it.") from None
        if position.feed != self._feed:
            raise click.ClickException(
                f"{self._path} belongs to another feed:\n  file      {position.feed}\n  command   {self._feed}\n"
                "Use one cursor file a feed, with the same filters each time."
            )
        if self._output and position.output != self._output:
            raise click.ClickException(
                f"{self._path} belongs to {position.output or 'a pipe'}, not to {self._output}, which stays unchanged. "
                "Name the same --output each time, or a new cursor file."
            )
        return position

    def save(self, *, cursor: str, output_bytes: int) -> None:
        """Store a position. The old one stays until the new one is on the disk."""
        position = FilePosition(feed=self._feed, cursor=cursor, output=self._output, output_bytes=output_bytes)
        draft = self._path.with_name(f"{self._path.name}.draft")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(position))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
