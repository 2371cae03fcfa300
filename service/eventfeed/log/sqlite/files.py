"""The files of a SQLite database, and the check that those at its path are the ones that this process opened.

SQLite keeps a file open by its number (inode). If an operator removes or replaces it, commits still succeed, and are
lost with the file. So every commit checks the files before and after: a receipt names an event of the file at the path.
"""

import contextlib
import fcntl
import os
import stat
from pathlib import Path

import apsw

from eventfeed.domain.errors import LogDamaged, StoreUnusable

# The format of SQLite's write-ahead log: a header, then frames of a header and a page.
_WAL_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
# Only the service's user reads and writes the files.
_FILE_MODE, _FOLDER_MODE = 0o600, 0o700


def open_beside(path: Path, *, store: Path | None) -> int:
    """Open a file that the processes of a store share, and create it if it is missing.

    If root opens it, it belongs to the owner of the store's file, as SQLite does it for the write-ahead log.
    """
    # A link could lead root to any file.
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)
    if store is not None and os.geteuid() == 0:
        with contextlib.suppress(OSError):
            owner = store.stat()
            os.fchown(file, owner.st_uid, owner.st_gid)
    return file


def try_lock(file: int) -> bool:
    """Lock an open file for this process alone; False if another one has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class StoreFiles:
    """A database file, its write-ahead log and its shared memory, by device and inode once `remember` was called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names = [f"{path}{suffix}" for suffix in ("", "-wal", "-shm")]
        self._inodes: list[tuple[int, int]] | None = None
        # Bytes of the database file and of the write-ahead log when last examined.
        self._sizes = (0, 0)

    def create(self) -> None:
        """Create the folder and an empty file, unless they exist. Raises `LogDamaged` if only the `-wal` is left."""
        self.path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        wal = Path(self._names[1])
        is_empty = not self.path.exists() or self.path.stat().st_size == 0
        if is_empty and wal.exists() and wal.stat().st_size > 0:
            raise LogDamaged(
                f"{self.path} is missing or empty, but {wal.name} beside it holds its newest entries: "
                "put the file back, or restore a backup."
            )
        # SQLite gives the other files the same mode.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _FILE_MODE))

    def require_created(self) -> None:
        """Raise `StoreUnusable` if there is no file: an empty one in its place would be another log."""
        if not self.path.exists():
            raise StoreUnusable(
                f"There is no store at {self.path}. `eventfeed serve` or `eventfeed store create` makes one."
            )

    def restrict(self) -> None:
        """Take away the rights of other users, if an earlier release or an operator gave them any."""
        for path in map(Path, self._names):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                if stat.S_IMODE(path.stat().st_mode) & 0o077:
                    path.chmod(_FILE_MODE)

    def remember(self) -> None:
        """Remember the files, which a connection has just opened."""
        states = [os.stat(name) for name in self._names]  # noqa: PTH116
        self._inodes = [(each.st_dev, each.st_ino) for each in states]

    def require_in_place(self, db: apsw.Connection | None = None) -> int:
        """Return the time (ns) of the last write to the database file.

        Raises `StoreUnusable` if a file was removed or replaced, `LogDamaged` if one was cut off.
        """
        if self._inodes is None:
            return 0
        file, wal, _ = (self._require_same(*each) for each in zip(self._names, self._inodes, strict=True))
        if db is not None:
            if file.st_size < self._sizes[0] or wal.st_size < self._sizes[1]:
                self._require_whole(db, file_bytes=file.st_size, wal_bytes=wal.st_size)
            self._sizes = file.st_size, wal.st_size
        return file.st_mtime_ns

    def _require_same(self, name: str, inode: tuple[int, int]) -> os.stat_result:
        """Return the state of a file, if it is the one that was opened."""
        try:
            state = os.stat(name)  # noqa: PTH116  # twice a batch: Path.stat takes twice the time
        except FileNotFoundError:
            raise StoreUnusable(f"The store's file {Path(name).name} was removed. Put it back.") from None
        except OSError as failure:
            raise StoreUnusable(f"The store's file {Path(name).name} cannot be read: {failure.strerror}.") from failure
        if (state.st_dev, state.st_ino) != inode:
            fault = f"The store's file {Path(name).name} was replaced."
            raise StoreUnusable(f"{fault} Put it back, or restart the service.")
        return state

    def _require_whole(self, db: apsw.Connection, *, file_bytes: int, wal_bytes: int) -> None:
        """Raise `LogDamaged` if the files are too small for their pages. Another program may have compacted them."""
        frames = max(0, db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0])
        page_bytes, pages = int(db.pragma("page_size")), int(db.pragma("page_count"))
        # SQLite deletes the write-ahead log of an empty file.
        is_whole = file_bytes > 0 and file_bytes + frames * page_bytes >= pages * page_bytes
        if not is_whole or (frames and wal_bytes < _WAL_HEADER_BYTES + frames * (_FRAME_HEADER_BYTES + page_bytes)):
            raise LogDamaged(f"The store's file {self.path.name} was cut off. Restore a backup.")
