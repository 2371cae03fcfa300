"""Results and folders that are made once in a test session and shared by all its processes."""

import fcntl
import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

_Result = TypeVar("_Result")


class SessionCache:
    """Pickled results, and folders, by key. A key is any value that can be represented as JSON."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        base = factory.getbasetemp()
        # The base folder of an xdist worker is inside the base folder of the session.
        session = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
        self._root = session / "session-cache"
        self._root.mkdir(exist_ok=True)
        self._results = dict[str, Any]()

    def get(
        self,
        key: object,
        compute: Callable[[], _Result],
        *,
        meanwhile: Sequence[tuple[object, Callable[[], object]]] = (),
    ) -> _Result:
        """Return the result for `key`. The first process that needs it computes it; others wait.

        A process that would wait first computes the missing results of `meanwhile`, so that it is not idle.
        """
        path = self._path(key)
        if path.name not in self._results:
            if not _compute(path, compute, wait=False):
                for other_key, compute_other in meanwhile:
                    _compute(self._path(other_key), compute_other, wait=False)
                _compute(path, compute, wait=True)
            self._results[path.name] = pickle.loads(path.read_bytes())  # noqa: S301  # a file of this session
        result: _Result = self._results[path.name]
        return result

    @contextmanager
    def folder(self, key: object, fill: Callable[[Path], object]) -> Iterator[Path]:
        """Yield a folder for `key`. The first process that needs it fills it; the last one that uses it deletes it."""
        path = self._path(key)
        with path.with_suffix(".users").open("w") as users:
            with _lock(path):
                if not path.exists():
                    path.mkdir()
                    fill(path)
                fcntl.flock(users, fcntl.LOCK_SH)
            yield path
            with _lock(path):
                if _is_only_user(users.fileno()):
                    shutil.rmtree(path)

    def _path(self, key: object) -> Path:
        return self._root / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _compute(path: Path, compute: Callable[[], object], *, wait: bool) -> bool:
    """Compute and store a missing result. Return False if another process is computing it and `wait` is false."""
    with path.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if not path.exists():
            path.write_bytes(pickle.dumps(compute()))
    return True


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_only_user(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
