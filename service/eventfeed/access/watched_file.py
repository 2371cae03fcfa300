"""A file of a setting that is read again when it changes."""

import asyncio
import logging
from collections.abc import Callable
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Generic, TypeVar

from eventfeed.bounded_read import read_file
from eventfeed.domain.errors import Unavailable
from eventfeed.settings import SettingsError

# A right that is removed from a file is gone after this time and the time for which decisions are cached.
CHECK_SECONDS = 1.0

# A register of some 100,000 organisations and people. It is parsed on the event loop.
FILE_BYTES_MAX = 16 * 1024 * 1024

T = TypeVar("T")
_log = logging.getLogger(__name__)

# Modification time, size and inode: one of them changes with the file.
_Stamp = tuple[int, int, int]


class WatchedFile(Generic[T]):
    """The value of a setting's file, or of the built-in file if the setting is empty.

    `parse` raises `ValueError` on invalid content. The constructor raises `SettingsError` if the file is invalid.
    """

    def __init__(self, setting: str, path: Path | None, *, builtin: Traversable, parse: Callable[[bytes], T]) -> None:
        self._setting, self._path, self._parse = setting, path, parse
        self._check_time = float("-inf")
        self._lock = asyncio.Lock()
        try:
            self._stamp = _stamp(path) if path else None
            self.value = parse(_read(path) if path else builtin.read_bytes())
        except (OSError, ValueError) as failure:
            raise SettingsError(self._message(failure)) from None

    @property
    def is_builtin(self) -> bool:
        """True if the setting names no file."""
        return self._path is None

    async def current(self) -> T:
        """Return the value of the file, at most `CHECK_SECONDS` old. Raises `Unavailable` while the file is invalid."""
        now = asyncio.get_running_loop().time()
        if self._path is None or now - self._check_time < CHECK_SECONDS:
            return self.value
        async with self._lock:
            if now - self._check_time >= CHECK_SECONDS:
                await self._check(self._path)
                self._check_time = now
        return self.value

    async def _check(self, path: Path) -> None:
        try:
            stamp = await asyncio.to_thread(_stamp, path)
            if stamp != self._stamp:
                self.value = self._parse(await asyncio.to_thread(_read, path))
                self._stamp = stamp
        except (OSError, ValueError) as failure:
            # The last value may hold a right that was just removed.
            _log.error("%s", self._message(failure))
            raise Unavailable(f"{self._setting} cannot be read at the moment.") from None

    def _message(self, failure: Exception) -> str:
        """Return the faults, each on a line that begins with the setting."""
        source = f"{self._setting}={self._path or 'the built-in file'}"
        if isinstance(failure, OSError):
            return f"{source}: cannot be read: {failure.strerror}"
        return "\n".join(f"{source}: {line}" for line in str(failure).splitlines())


def _read(path: Path) -> bytes:
    return read_file(path, bytes_max=FILE_BYTES_MAX)


def _stamp(path: Path) -> _Stamp:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
