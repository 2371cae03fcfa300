"""A consumer's place in a file that survives being killed at any moment."""

import os
from pathlib import Path

import click
import msgspec


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which feed, the last cursor ("" before the first page), the output file ("" for a pipe) and its bytes then."""

    feed: str
    cursor: str
    output: str
    output_bytes: int


class CursorFile:
    """The file that keeps a `Place` for one feed."""

    def __init__(self, path: Path, *, feed: str, output: Path | None) -> None:
        self._path, self._feed = path, feed
        self._output = str(output.absolute()) if output else ""

    def load(self) -> Place | None:
        """The place kept, None when there is no file yet. Raises `ClickException` for a file of another feed."""
        try:
            place = msgspec.json.decode(self._path.read_bytes(), type=Place)
        except FileNotFoundError:
            return None
        except OSError as failure:
            raise click.ClickException(f"{self._path} cannot be read: {failure.strerror}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise click.ClickException(f"{self._path} is no cursor file; name another, or remove it.") from None
        if place.feed != self._feed:
            raise click.ClickException(
                f"{self._path} is the place in another feed:\n  there {place.feed}\n  asked {self._feed}\n"
                "Use one cursor file a feed, with the same filters each time.",
            )
        if self._output and place.output != self._output:
            raise click.ClickException(
                f"{self._path} keeps the place of {place.output or 'a pipe'}, not of {self._output}, which is left "
                "as it is. Name the same --output each time, or a new cursor file.",
            )
        return place

    def save(self, *, cursor: str, output_bytes: int) -> None:
        """Keep a place: the old one stays until the new one is on the disk."""
        draft = self._path.with_name(f"{self._path.name}.draft")
        with draft.open("wb") as file:
            file.write(
                msgspec.json.encode(
                    Place(feed=self._feed, cursor=cursor, output=self._output, output_bytes=output_bytes)
                )
            )
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
