"""A file that means something, and is read again when it changes."""

import asyncio
import logging
from collections.abc import Callable
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Generic, TypeVar

from eventfeed.domain.errors import Unavailable
from eventfeed.settings import SettingsError

# A right that is taken away in a file is gone after at most this, and whatever time decisions are remembered.
LOOK_SECONDS = 1.0

T = TypeVar("T")
_log = logging.getLogger(__name__)

# What changes when a file does: when it was written, how long it is, and which one it is.
_Stamp = tuple[int, int, int]


class WatchedFile(Generic[T]):
    """What the file of a setting means, or what comes with the service when the setting is empty.

    Raises `SettingsError` when the first reading finds the file wrong. `read` raises `ValueError` on bad contents.
    """

    def __init__(self, setting: str, path: Path | None, *, bundled: Traversable, read: Callable[[bytes], T]) -> None:
        self._setting, self._path, self._read = setting, path, read
        self._looked = float("-inf")
        self._looking = asyncio.Lock()
        try:
            self._stamp = _stamp(path) if path else None
            self.value = read((path or bundled).read_bytes())
        except (OSError, ValueError) as failure:
            raise SettingsError(self._told(failure)) from None

    async def current(self) -> T:
        """What the file means now, at most `LOOK_SECONDS` late. Raises `Unavailable` while it means nothing."""
        now = asyncio.get_running_loop().time()
        if self._path is None or now - self._looked < LOOK_SECONDS:
            return self.value
        async with self._looking:
            if now - self._looked >= LOOK_SECONDS:
                await self._look(self._path)
                self._looked = now
        return self.value

    async def _look(self, path: Path) -> None:
        try:
            stamp = await asyncio.to_thread(_stamp, path)
            if stamp != self._stamp:
                self.value = self._read(await asyncio.to_thread(path.read_bytes))
                self._stamp = stamp
        except (OSError, ValueError) as failure:
            # What it meant before may be what somebody has just taken away.
            _log.error("%s", self._told(failure))
            raise Unavailable(f"{self._setting} cannot be read at the moment.") from None

    def _told(self, failure: Exception) -> str:
        """The failure, each line with the setting it belongs to."""
        source = f"{self._setting}={self._path or 'what comes with the service'}"
        if isinstance(failure, OSError):
            return f"{source}: cannot be read: {failure.strerror}"
        return "\n".join(f"{source}: {line}" for line in str(failure).splitlines())


def _stamp(path: Path) -> _Stamp:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
