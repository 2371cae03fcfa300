"""Faults of the embedded store under a running service: no receipt without an event in the file at the path."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import apsw
import httpx
import pytest

from tests.support.feeds import event_ids, read_app_feed
from tests.support.publishing import APP_PATH, cloud_event, post_events
from tests.support.service import RunningService, free_port, run_with_store, running_service
from tests.support.waiting import wait_until

SUFFIXES = ("", "-wal", "-shm")


def store_file(service: RunningService) -> Path:
    """The log of a service with the default store."""
    return service.folder / ".eventfeed" / "log.db"


@contextlib.contextmanager
def moved_away(service: RunningService, *suffixes: str) -> Iterator[None]:
    """Move these files of the log away while the block lasts."""
    names = [f"{store_file(service)}{suffix}" for suffix in suffixes]
    for name in names:
        Path(name).rename(f"{name}.away")
    yield
    for name in names:
        Path(f"{name}.away").rename(name)


@contextlib.contextmanager
def replaced(service: RunningService) -> Iterator[None]:
    """Put a consistent copy in the place of the log while the block lasts, as a restore does."""
    file = store_file(service)
    copy_log(file, file.with_name("copy.db"))
    with moved_away(service, *SUFFIXES):
        file.with_name("copy.db").rename(file)
        yield
        file.unlink()


@contextlib.contextmanager
def locked(service: RunningService) -> Iterator[None]:
    """Hold an exclusive lock while the block lasts, as another program does."""
    with closing(apsw.Connection(str(store_file(service)))) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield
        db.execute("ROLLBACK")


@contextlib.contextmanager
def limited(service: RunningService) -> Iterator[None]:
    """Forbid the workers to write beyond the end of the write-ahead log while the block lasts."""
    limit = 32 * 1024
    for pid in service.worker_pids():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    yield
    for pid in service.worker_pids():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


Fault = Callable[[RunningService], AbstractContextManager[None]]
FAULTS: dict[str, tuple[Fault, str]] = {
    "removed": (lambda service: moved_away(service, *SUFFIXES), "log.db was removed"),
    "write-ahead log removed": (lambda service: moved_away(service, "-wal"), "log.db-wal was removed"),
    "shared memory removed": (lambda service: moved_away(service, "-shm"), "log.db-shm was removed"),
    "replaced": (replaced, "log.db was replaced"),
    "locked": (locked, "Another program has locked"),
    "limited": (limited, "File too large"),
}


def copy_log(file: Path, copy: Path) -> None:
    """Write a consistent copy of a log."""
    with (
        closing(apsw.Connection(str(file))) as db,
        closing(apsw.Connection(str(copy))) as target,
        target.backup("main", db, "main") as backup,
    ):
        backup.step()


def checkpoint(file: Path) -> None:
    """Move all entries from the write-ahead log into the file."""
    with closing(apsw.Connection(str(file))) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def stored_ids(file: Path) -> list[str]:
    """The ids of all events in the file at the path, in order."""
    with closing(apsw.Connection(str(file))) as db:
        return [row[0] for row in db.execute("SELECT id FROM entry ORDER BY sequence")]


def readiness(service: RunningService) -> httpx.Response:
    """Ask the service whether it is ready."""
    return service.client.get("/health/ready")


def wait_for_readiness(service: RunningService, status: int) -> httpx.Response:
    """Wait until readiness has this status, and return its response."""
    wait_until(lambda: readiness(service).status_code == status)
    return readiness(service)


def state_changes(service: RunningService) -> list[str]:
    """The lines in which the service has reported a change of its store."""
    lines = (service.folder / "output").read_text().splitlines()
    return [line.partition("the store is ")[2] for line in lines if "the store is " in line]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service for faults that pass."""
    with running_service(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.mark.parametrize(("fault", "reason"), FAULTS.values(), ids=FAULTS)
def test_fault_of_the_store_stops_receipts_until_it_passes(
    service: RunningService, app: str, fault: Fault, reason: str
) -> None:
    """Publishes and readiness are 503 with the reason, one line is logged, and no restart is needed."""
    first, second = cloud_event(app), cloud_event(app)
    post_events(service, APP_PATH, [first, *(cloud_event(f"{app}-other") for _ in range(20))]).raise_for_status()
    changes = len(state_changes(service))
    with fault(service):
        unready = wait_for_readiness(service, 503).json()
        refusal = post_events(service, APP_PATH, second)
        # A repeat needs the file at the path too: only there is its event known to be.
        repeat = post_events(service, APP_PATH, first)
        assert (503 if "was" in reason else 201) == repeat.status_code
        assert (503, "unavailable") == (refusal.status_code, refusal.json()["code"])
        assert reason in refusal.json()["detail"]
        assert reason in unready["detail"]
        assert 503 == readiness(service).status_code
    wait_for_readiness(service, 200)
    post_events(service, APP_PATH, second).raise_for_status()
    wait_until(lambda: state_changes(service)[changes + 1 :] and "delayed" not in state_changes(service)[-1])
    # A busy machine may also report the wait for a lock.
    begin, end = (each for each in state_changes(service)[changes:] if not each.startswith("delayed"))

    assert begin.startswith("not usable")
    assert reason in begin
    assert end.startswith("usable again")
    assert [first["id"], second["id"]] == event_ids(read_app_feed(service, app, "after=0"))
    assert {first["id"], second["id"]} <= set(stored_ids(store_file(service)))


def notice_of_short_lock(service: RunningService) -> str:
    """Lock the log until readiness shows it, and return its notice; "" if a busy machine made it a fault."""
    notices = list[str]()

    def is_shown() -> bool:
        response = readiness(service)
        notices.append(response.json().get("notice", ""))
        return response.is_error or bool(notices[-1])

    with locked(service):
        wait_until(is_shown)
    return notices[-1]


def test_short_lock_does_not_change_readiness(service: RunningService, app: str) -> None:
    """A publish waits as long. Readiness has a notice within a second, and nothing is logged."""
    changes = len(state_changes(service))
    notice = wait_until(lambda: notice_of_short_lock(service))
    post_events(service, APP_PATH, cloud_event(app)).raise_for_status()
    wait_until(lambda: "notice" not in readiness(service).json())

    assert "the store does not respond" in notice
    assert changes == len(state_changes(service))


def test_lost_file_of_approvals_is_told_until_it_is_back(service: RunningService, app: str) -> None:
    """Readiness names it. Events are still published, since the log is usable."""
    access = store_file(service).with_name("log.access.db")
    access.rename(access.with_suffix(".away"))
    unready = wait_for_readiness(service, 503).json()
    post_events(service, APP_PATH, cloud_event(app)).raise_for_status()
    access.with_suffix(".away").rename(access)
    wait_for_readiness(service, 200)

    assert "log.access.db was removed" in unready["detail"]
    assert "the store of approvals and the audit log is not usable" in (service.folder / "output").read_text()


def overwrite(file: Path, older: Path) -> None:
    """Copy an older log over the file, which stays the same file for the service."""
    checkpoint(file)
    file.write_bytes(older.read_bytes())


def cut_off(file: Path, _: Path) -> None:
    """Remove the content of the file."""
    checkpoint(file)
    os.truncate(file, 0)


def take_the_place(file: Path, older: Path) -> None:
    """Rename an older copy to the name of the log."""
    older.rename(file)


def cut_off_wal(file: Path, _: Path) -> None:
    """Remove the content of the write-ahead log."""
    os.truncate(f"{file}-wal", 0)


DAMAGES: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "older copy written over it": (overwrite, "older copy"),
    "file cut off": (cut_off, "is damaged"),
    "write-ahead log cut off": (cut_off_wal, "cut off"),
    "older copy in its place": (take_the_place, "replaced"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_store_gives_no_receipt_and_no_page(
    tmp_path: Path, damage: Callable[[Path, Path], None], reason: str
) -> None:
    """Publishes, pages and readiness are 503 with the reason. No event of another file is shown."""
    with running_service(tmp_path) as service:
        post_events(service, APP_PATH, [cloud_event("a"), cloud_event("a")]).raise_for_status()
        copy_log(store_file(service), older := tmp_path / "older.db")
        post_events(service, APP_PATH, [cloud_event("a") for _ in range(40)]).raise_for_status()
        damage(store_file(service), older)
        refusal = post_events(service, APP_PATH, cloud_event("a"))
        unready = wait_for_readiness(service, 503)
        wait_until(lambda: read_app_feed(service, "a", "after=0").status_code == 503)
        page = read_app_feed(service, "a", "after=0")

    assert 503 == refusal.status_code
    assert reason in refusal.json()["detail"]
    assert reason in unready.json()["detail"]
    assert reason in page.json()["detail"]
    assert ["not usable"] == [each[: len("not usable")] for each in wait_until(lambda: state_changes(service))]


@pytest.mark.parametrize("is_empty", [False, True])
def test_service_whose_log_is_missing_does_not_start(tmp_path: Path, *, is_empty: bool) -> None:
    """An empty log in its place would lose all events unnoticed. With the file put back, nothing is lost."""
    with running_service(tmp_path) as service:
        receipt = post_events(service, APP_PATH, cloud_event("a")).raise_for_status().json()
    with moved_away(service, ""):
        if is_empty:
            store_file(service).touch()
        attempt = run_with_store(tmp_path, "serve", "--port", str(free_port()), store="sqlite:///.eventfeed/log.db")
        assert is_empty == store_file(service).exists()
        store_file(service).unlink(missing_ok=True)
    with running_service(tmp_path) as service:
        page = read_app_feed(service, "a", "after=0")

    assert 1 == attempt.returncode
    assert b"log.db is missing" in attempt.stderr
    assert b"store create" in attempt.stderr
    assert [receipt["id"]] == event_ids(page)


def fill(disk: Path) -> None:
    """Write a file until the disk is full."""
    with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", folder], check=False, capture_output=True)
    if mount.returncode:
        pytest.skip("this user may not mount a file system; `limited` tests the same with a limit of file size")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_full_disk_stops_receipts_until_it_has_space(tmp_path: Path, disk: Path) -> None:
    """Publishes and readiness are 503 and name the disk. Pages are still served."""
    with running_service(tmp_path, EVENTFEED_STORE=f"sqlite:///{disk}/log.db") as service:
        ids = [post_events(service, APP_PATH, cloud_event("a")).raise_for_status().json()["id"]]
        fill(disk)
        while (response := post_events(service, APP_PATH, cloud_event("a"))).is_success:
            ids.append(response.json()["id"])
        unready = wait_for_readiness(service, 503)
        page = read_app_feed(service, "a", "after=0&size=1000")
        (disk / "filler").unlink()
        wait_for_readiness(service, 200)
        ids.append(post_events(service, APP_PATH, cloud_event("a")).raise_for_status().json()["id"])
        stored = stored_ids(disk / "log.db")

    assert "The disk is full." in response.json()["detail"]
    assert "The disk is full." in unready.json()["detail"]
    assert ids[:-1] == event_ids(page)
    assert ids == stored
