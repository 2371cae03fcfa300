"""The session cache: one process makes a result, and the last user of a folder deletes it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.infra.session_cache import SessionCache


@pytest.fixture
def caches(tmp_path_factory: pytest.TempPathFactory) -> tuple[SessionCache, SessionCache]:
    """The caches of two processes."""
    return SessionCache(tmp_path_factory), SessionCache(tmp_path_factory)


def test_result_is_computed_by_the_first_process_only(
    caches: tuple[SessionCache, SessionCache], tmp_path: Path
) -> None:
    """The second process reads the same result."""
    first, second = caches
    key = str(tmp_path)

    assert [1, 1] == [first.get(key, lambda: 1), second.get(key, lambda: 2)]


def test_failed_computation_is_not_stored(caches: tuple[SessionCache, SessionCache], tmp_path: Path) -> None:
    """The error reaches the caller, and the next one computes the result."""
    first, second = caches
    key = str(tmp_path)
    with pytest.raises(ZeroDivisionError):
        first.get(key, lambda: 1 // 0)

    assert 2 == second.get(key, lambda: 2)


def test_folder_is_deleted_after_its_last_user(caches: tuple[SessionCache, SessionCache], tmp_path: Path) -> None:
    """Two users share the folder, which is filled once."""
    first, second = caches
    key = str(tmp_path)
    with first.folder(key, lambda folder: (folder / "content").write_text("one")) as folder:
        with second.folder(key, lambda folder: (folder / "content").write_text("two")) as same:
            assert folder == same
            assert "one" == (same / "content").read_text()
        assert folder.exists()

    assert not folder.exists()


def test_waiting_process_computes_another_result_meanwhile(
    caches: tuple[SessionCache, SessionCache], tmp_path: Path
) -> None:
    """While one process computes a result, the process that waits for it computes a second one."""
    first, second = caches
    key, other_key = [str(tmp_path), 1], [str(tmp_path), 2]
    is_computing, has_other_result = threading.Event(), threading.Event()

    def compute() -> bool:
        is_computing.set()
        return has_other_result.wait(60)

    def compute_other() -> int:
        has_other_result.set()
        return 2

    with ThreadPoolExecutor() as threads:
        result = threads.submit(first.get, key, compute)
        assert is_computing.wait(60)
        same = second.get(key, lambda: False, meanwhile=[(other_key, compute_other)])

    assert (True, True) == (result.result(), same)
    assert 2 == first.get(other_key, lambda: 3)
