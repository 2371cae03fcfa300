"""`eventfeed store copy` between stores of both engines."""

import asyncio
import signal
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tests.support.engines import open_sqlite_log
from tests.support.events import entries
from tests.support.feeds import ADMIN_SCOPE, APPROVALS_PATH, event_ids, read_app_feed
from tests.support.publishing import APP_PATH, cloud_event, post_events
from tests.support.service import (
    BAKERY,
    BANK,
    COMMAND,
    RunningService,
    bearer,
    clean_environment,
    free_port,
    run_with_store,
    running_service,
)
from tests.support.sqlite_store import digest_of_rows, end_offset
from tests.support.waiting import wait_until

EVENTS = 60_000


def sqlite_store(folder: Path) -> str:
    """The address of the default store of a folder."""
    return f"sqlite:///{folder}/.eventfeed/log.db"


def log_file(folder: Path) -> Path:
    """The file of this store."""
    return folder / ".eventfeed" / "log.db"


def copy(source: str, target: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
    """Run `eventfeed store copy`."""
    return run_with_store(Path(), "store", "copy", source, target, store="sqlite:///unused.db", **settings)


def publish(service: RunningService, count: int) -> Sequence[str]:
    """Publish events one after another, and return their ids."""
    return [post_events(service, APP_PATH, cloud_event("a")).raise_for_status().json()["id"] for _ in range(count)]


def fill(folder: Path, count: int) -> None:
    """Make a store with many entries."""

    async def append() -> None:
        async with open_sqlite_log(log_file(folder)) as log:
            for first in range(0, count, 5_000):
                await log.append(entries(first + 1, min(first + 5_000, count)), after=first)

    asyncio.run(append())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The folder of a service that has stopped, with five events and two decisions on approvals."""
    folder = tmp_path / "old"
    with running_service(folder) as service:
        publish(service, 5)
        admin = bearer(service.token(ADMIN_SCOPE))
        body = {"types": ["a"], "validTo": "2099-01-01T00:00:00Z", "reason": "case"}
        service.client.put(f"{APPROVALS_PATH}/{BAKERY}", json=body, headers=admin).raise_for_status()
        service.client.delete(f"{APPROVALS_PATH}/{BANK}", headers=admin).raise_for_status()
    return folder


def test_store_is_copied_to_each_engine_and_back(old: Path, tmp_path: Path, new_store: str) -> None:
    """Entries are the same bytes. Consumers go on with their cursors, and approvals and the audit log are there."""
    with running_service(old) as service:
        cursor = read_app_feed(service, "a", "after=0&size=3").headers["feed-cursor"]
        later = event_ids(read_app_feed(service, "a", f"after={cursor}"))
        audit = service.run_command("audit", EVENTFEED_STORE=sqlite_store(old)).stdout
    before, digest = log_file(old).read_bytes(), digest_of_rows(log_file(old))
    if new_store.startswith("cosmos:"):
        assert run_with_store(tmp_path, "store", "create", store=new_store).returncode == 0

    there = copy(sqlite_store(old), new_store)
    back = copy(new_store, sqlite_store(tmp_path / "back"))
    with running_service(tmp_path / "served", EVENTFEED_STORE=new_store) as service:
        page = read_app_feed(service, "a", f"after={cursor}")
        admin = bearer(service.token(ADMIN_SCOPE))
        approvals = [service.client.get(f"{APPROVALS_PATH}/{each}", headers=admin) for each in (BAKERY, BANK)]
        audit_of_copy = service.run_command("audit", EVENTFEED_STORE=new_store).stdout

    assert [(0, b"")] * 2 == [(each.returncode, each.stderr) for each in (there, back)]
    assert there.stdout.splitlines()[-2:] == back.stdout.splitlines()[-2:]
    assert b"Both stores have the events 1 to 5 of the log " in there.stdout
    assert b"Approvals of 2 organisations, audit log of 2 entries" in there.stdout
    assert digest == digest_of_rows(log_file(tmp_path / "back"))
    assert before == log_file(old).read_bytes()
    assert later == event_ids(page)
    assert [200, 404] == [each.status_code for each in approvals]
    assert audit == audit_of_copy


def stop_copy(source: Path, target: Path, *, by: signal.Signals) -> subprocess.CompletedProcess[bytes]:
    """Copy the store of a folder, and send a signal once the target has events. Return the result."""
    command = [COMMAND, "store", "copy", sqlite_store(source), sqlite_store(target)]
    environment = clean_environment()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_until(lambda: process.poll() is not None or end_offset(log_file(target)) > 0)
        process.send_signal(by)
        output, errors = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def test_copy_goes_on_after_a_kill(tmp_path: Path) -> None:
    """No entry is lost or copied twice, and no service starts on a part."""
    source, target = tmp_path / "source", tmp_path / "target"
    fill(source, EVENTS)
    stop_copy(source, target, by=signal.SIGKILL)
    part = end_offset(log_file(target))
    start = run_with_store(target, "serve", "--port", str(free_port()), store=sqlite_store(target))

    result = copy(sqlite_store(source), sqlite_store(target))
    again = copy(sqlite_store(source), sqlite_store(target))

    assert 0 < part < EVENTS
    assert (1, True) == (start.returncode, b"Run the same command again" in start.stderr)
    assert (0, b"") == (result.returncode, result.stderr)
    assert f"Copied {EVENTS - part} events".encode() in result.stdout
    assert f"the events 1 to {EVENTS} of the log".encode() in result.stdout
    assert (0, True) == (again.returncode, again.stdout.startswith(b"TARGET has every event of SOURCE.\n"))
    assert digest_of_rows(log_file(source)) == digest_of_rows(log_file(target))


def test_interrupted_copy_says_how_to_go_on(tmp_path: Path) -> None:
    """Ctrl-C ends it with one message."""
    source, target = tmp_path / "source", tmp_path / "target"
    fill(source, EVENTS)
    result = stop_copy(source, target, by=signal.SIGINT)

    assert (130, True) == (result.returncode, b"Run the same command again" in result.stderr)
    assert b"Traceback" not in result.stderr


def test_source_may_be_in_use_and_target_may_not(tmp_path: Path) -> None:
    """A copy beside the service, and another one after its end, lose nothing."""
    source, target = tmp_path / "source", tmp_path / "target"
    with running_service(source) as service:
        publish(service, 3)
        first = copy(sqlite_store(source), sqlite_store(target))
        publish(service, 2)
    second = copy(sqlite_store(source), sqlite_store(target))
    with running_service(target) as service:
        beside = copy(sqlite_store(source), sqlite_store(target))
        publish(service, 1)
    after_use = copy(sqlite_store(source), sqlite_store(target))

    assert [(0, b"")] * 2 == [(each.returncode, each.stderr) for each in (first, second)]
    assert [b"Copied 3", b"Copied 2"] == [each.stdout[:8] for each in (first, second)]
    assert (1, True) == (beside.returncode, b"Stop it first" in beside.stderr)
    assert (1, True) == (after_use.returncode, b"a service has written to TARGET" in after_use.stderr)


def test_stores_that_allow_no_copy_are_refused(old: Path, tmp_path: Path) -> None:
    """One message names what is wrong."""
    source, other = sqlite_store(old), tmp_path / "other"
    fill(other, 3)
    cases = {
        (source, source): (1, "SOURCE and TARGET are the same store."),
        (source, f"sqlite:///{old}/./.eventfeed/log.db"): (1, "SOURCE and TARGET are the same store."),
        (source, sqlite_store(other)): (1, "TARGET has the events 1 to 3 of the log"),
        (sqlite_store(tmp_path / "nothing"), source): (1, "There is no store at"),
        (source, "log.db"): (2, "Invalid value for 'TARGET'"),
        ("postgresql://host/db", source): (2, "Invalid value for 'SOURCE'"),
        (source, f"cosmos://127.0.0.1:{free_port()}/x"): (1, "The store"),
    }
    before = digest_of_rows(log_file(other))

    results = {pair: copy(*pair) for pair in cases}

    assert {pair: (code, True) for pair, (code, _) in cases.items()} == {
        pair: (result.returncode, cases[pair][1] in result.stderr.decode()) for pair, result in results.items()
    }
    assert all(b"Traceback" not in each.stderr for each in results.values())
    assert before == digest_of_rows(log_file(other))


def test_backup_can_be_copied(old: Path, tmp_path: Path) -> None:
    """It has no approvals and no audit log beside it, and stays as it is."""
    backup = tmp_path / "backup.db"
    run_with_store(old, "store", "backup", str(backup), store=sqlite_store(old))
    before = backup.read_bytes()

    result = copy(f"sqlite:///{backup}", sqlite_store(tmp_path / "target"))

    assert (0, b"") == (result.returncode, result.stderr)
    assert result.stdout.endswith(b"SOURCE has no file with approvals and the audit log.\n")
    assert before == backup.read_bytes()
    assert digest_of_rows(log_file(old)) == digest_of_rows(log_file(tmp_path / "target"))


def test_source_of_an_older_layout_is_refused_and_not_changed(tmp_path: Path) -> None:
    """Only a service upgrades it."""
    fill(tmp_path, 3)
    with closing(apsw.Connection(str(log_file(tmp_path)))) as db:
        db.execute("PRAGMA user_version = 1")
    before = log_file(tmp_path).read_bytes()

    result = copy(sqlite_store(tmp_path), sqlite_store(tmp_path / "target"))

    assert (1, True) == (result.returncode, b"has layout 1" in result.stderr)
    assert before == log_file(tmp_path).read_bytes()
