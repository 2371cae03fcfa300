"""`eventfeed migrate` from files and from a PostgreSQL server, into a store of each engine."""

import contextlib
import gzip
import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.altinn_rows import altinn_event, altinn_row, csv_file
from tests.support.postgres import Postgres, running_postgres
from tests.support.service import (
    COMMAND,
    RunningService,
    bearer,
    clean_environment,
    free_port,
    run_with_store,
    running_service,
)
from tests.support.sqlite_store import end_offset
from tests.support.waiting import WAIT_SECONDS_MAX, wait_until

ROWS = 3_000
# The rows of the tests are of the past: they stay retained.
KEEP = {"EVENTFEED_RETENTION_DAYS": "36500"}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    with running_postgres() as postgres:
        yield postgres


@pytest.fixture
def postgres(server: Postgres) -> Postgres:
    """A PostgreSQL server with empty tables of events."""
    server.create_tables()
    return server


def migrate(
    folder: Path, source: str, *options: str, store: str = "", stdin: bytes = b"", **settings: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `eventfeed migrate`."""
    return subprocess.run(
        [COMMAND, "migrate", source, *options],
        cwd=folder,
        env=clean_environment(**{**KEEP, **({"EVENTFEED_STORE": store} if store else {}), **settings}),
        input=stdin,
        capture_output=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
    )


def last_line(result: subprocess.CompletedProcess[bytes]) -> bytes:
    """The last line of the output."""
    return result.stdout.splitlines()[-1]


def imported_rows(folder: Path) -> int:
    """The number of entries in the log."""
    return end_offset(folder / ".eventfeed/log.db")


def child_pids(parent: int) -> Sequence[int]:
    """The process ids of the children of a process."""
    output = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, check=False).stdout
    return [int(pid) for pid in output.split()]


@contextlib.contextmanager
def serving(folder: Path, *, store: str = "") -> Iterator[RunningService]:
    """A service on the store, which retains the rows of the tests."""
    with running_service(folder, **{**KEEP, **({"EVENTFEED_STORE": store} if store else {})}) as service:
        yield service


def events_of_app(service: RunningService, name: str, *, after: str = "0") -> Sequence[dict[str, object]]:
    """The events of an app of `ttd` after a cursor."""
    headers = bearer(service.token(f"altinn:events/ttd/{name}"))
    events: list[dict[str, object]] = []
    while True:
        query = {"after": after, "size": "1000"}
        page = service.client.get(f"/events/api/v1/app/ttd/{name}", params=query, headers=headers)
        events += page.raise_for_status().json()
        after = page.headers["feed-cursor"]
        if page.headers["feed-more"] == "false":
            return events


def test_table_in_postgresql_is_imported_and_served(postgres: Postgres, tmp_path: Path) -> None:
    """A service on the store returns the events of the table in its order, with its ids and times."""
    postgres.fill(ROWS)
    rows = postgres.query(
        "SELECT cloudevent->>'id', cloudevent->>'time' FROM events.events "
        "WHERE cloudevent->>'resource' = 'urn:altinn:resource:app_ttd_app-7' ORDER BY sequenceno"
    )

    result = migrate(tmp_path, postgres.url)
    with serving(tmp_path) as service:
        events = events_of_app(service, "app-7")

    assert (0, b"") == (result.returncode, result.stderr)
    assert f"{ROWS} rows: imported {ROWS}, repeats 0, expired 0, not imported 0\n" in result.stdout.decode()
    assert rows == [(event["id"], event["time"]) for event in events]


def test_file_is_imported_into_a_store_of_each_engine(tmp_path: Path, new_store: str) -> None:
    """A repeat adds nothing, and a consumer goes on after the id of its last event."""
    (tmp_path / "events.csv").write_bytes(csv_file(altinn_row(number) for number in range(1, 251)))
    if new_store.startswith("cosmos:"):
        assert run_with_store(tmp_path, "store", "create", store=new_store, **KEEP).returncode == 0

    first = migrate(tmp_path, "events.csv", store=new_store)
    again = migrate(tmp_path, "events.csv", store=new_store)
    with serving(tmp_path, store=new_store) as service:
        events = events_of_app(service, "apps-test")
        after_id = events_of_app(service, "apps-test", after=str(altinn_event(248)["id"]))

    assert [(0, b""), (0, b"")] == [(each.returncode, each.stderr) for each in (first, again)]
    assert [altinn_event(number) for number in range(1, 251)] == [
        {name: value for name, value in event.items() if name != "sequence"} for event in events
    ]
    assert events[248:] == after_id


def test_copy_of_psql_is_imported_from_a_file_and_from_standard_input(postgres: Postgres, tmp_path: Path) -> None:
    """A copy of a whole table, as it lies on the disk, plain or gzipped."""
    postgres.fill(100)
    postgres.psql("DELETE FROM events.events WHERE sequenceno % 3 = 0")
    postgres.psql("UPDATE events.events SET registeredtime = registeredtime WHERE sequenceno < 20")
    content = postgres.psql("\\copy events.events to stdout csv header")
    (tmp_path / "events.csv.gz").write_bytes(gzip.compress(content))

    results = [
        migrate(tmp_path, "events.csv.gz"),
        migrate(tmp_path, "-", stdin=content),
        migrate(tmp_path, postgres.url),
    ]

    assert [(0, b"")] * 3 == [(each.returncode, each.stderr) for each in results]
    assert [b"67 rows: imported 67, repeats 0, expired 0, not imported 0"] * 3 == [last_line(each) for each in results]


def test_older_table_is_imported_by_its_times(postgres: Postgres, tmp_path: Path) -> None:
    """`events_app` has its own columns; its times are those of registration."""
    values = [
        (event["id"], event["source"], event["subject"], event["type"], json.dumps(event))
        for event in map(altinn_event, range(1, 11))
    ]
    postgres.insert(
        "INSERT INTO events.events_app (id, source, subject, type, time, cloudevent) "
        "VALUES ($1, $2, $3, $4, now(), $5)",
        values,
    )

    result = migrate(tmp_path, postgres.url, "--table", "events.events_app")

    assert (0, b"") == (result.returncode, result.stderr)
    assert b"10 rows: imported 10" in result.stdout


def test_import_continues_after_a_kill(postgres: Postgres, tmp_path: Path) -> None:
    """No row is lost or imported twice, no process is left, and no service starts on the part."""
    postgres.fill(60_000)
    command = [COMMAND, "migrate", postgres.url]
    environment = clean_environment(**KEEP)
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: process.poll() is not None or imported_rows(tmp_path) > 0, timeout=WAIT_SECONDS_MAX)
        children = child_pids(process.pid)
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    part = imported_rows(tmp_path)
    store = f"sqlite:///{tmp_path}/.eventfeed/log.db"
    refused = run_with_store(tmp_path, "serve", "--port", str(free_port()), store=store)

    result = migrate(tmp_path, postgres.url)

    assert 0 < part < 60_000
    assert children
    assert refused.returncode != 0
    assert b"Run the same command again: eventfeed migrate" in refused.stderr
    assert (0, b"") == (result.returncode, result.stderr)
    assert b"60000 rows: imported 60000, repeats 0, expired 0, not imported 0" in result.stdout


def test_import_is_refused_while_a_service_runs(tmp_path: Path) -> None:
    """Its consumers would get history as new events."""
    (tmp_path / "events.csv").write_bytes(csv_file([altinn_row(1)]))
    with running_service(tmp_path, **KEEP):
        result = migrate(tmp_path, "events.csv")

    assert result.returncode == 1
    assert b"A service runs on" in result.stderr


def test_rows_that_are_no_events_are_listed_with_exit_code_1(tmp_path: Path) -> None:
    """The others are imported."""
    (tmp_path / "events.csv").write_bytes(csv_file([altinn_row(1), altinn_row(2, type=None), altinn_row(3)]))

    result = migrate(tmp_path, "events.csv")

    assert (1, b"line 3, sequenceno 2 was not imported: type is required\n") == (result.returncode, result.stderr)
    assert b"3 rows: imported 2, repeats 0, expired 0, not imported 1" == last_line(result)


def test_repeated_number_is_one_message_without_a_traceback(tmp_path: Path) -> None:
    """The file is sorted when the repeat is found."""
    (tmp_path / "events.csv").write_bytes(csv_file([altinn_row(1), altinn_row(1), altinn_row(2)]))

    result = migrate(tmp_path, "events.csv")

    assert (1, b"Error: Line 3 has the sequenceno 1 of an earlier line.\n") == (result.returncode, result.stderr)


def test_row_that_was_registered_later_than_its_entry_is_a_difference(tmp_path: Path) -> None:
    """Only a time that was in the future at the import does not count."""
    rows = [altinn_row(number) for number in range(1, 61)]
    (tmp_path / "events.csv").write_bytes(csv_file(rows))
    (tmp_path / "later.csv").write_bytes(csv_file([*rows[:9], altinn_row(10, seconds=5_000), *rows[10:]]))

    first = migrate(tmp_path, "events.csv")
    again = migrate(tmp_path, "later.csv")

    assert (0, b"") == (first.returncode, first.stderr)
    assert 1 == again.returncode
    assert again.stderr.startswith(b"line 11, sequenceno 10 differs at sequence 10: registration time.\n")
    assert b"in the future" not in again.stdout


def test_numbers_of_postgresql_begin_at_0(postgres: Postgres, tmp_path: Path) -> None:
    """The row 0 is imported. A negative number is named, before anything is imported."""
    postgres.fill(3)
    postgres.psql("UPDATE events.events SET sequenceno = 0 WHERE sequenceno = 1")
    (tmp_path / "refused").mkdir()

    result = migrate(tmp_path, postgres.url)
    postgres.psql("UPDATE events.events SET sequenceno = -7 WHERE sequenceno = 0")
    refused = migrate(tmp_path / "refused", postgres.url)

    assert (0, b"") == (result.returncode, result.stderr)
    assert b"3 rows: imported 3, repeats 0, expired 0, not imported 0" == last_line(result)
    assert (1, b"Error: A row has the sequenceno -7, which is no number of a row.\n") == (
        refused.returncode,
        refused.stderr,
    )
    assert 0 == imported_rows(tmp_path / "refused")


def test_table_of_another_kind_is_refused(postgres: Postgres, tmp_path: Path) -> None:
    """The message names the columns."""
    postgres.psql("CREATE TABLE events.other (id int)")

    results = [migrate(tmp_path, postgres.url, "--table", f"events.{name}") for name in ("other", "missing")]

    assert [1, 1] == [each.returncode for each in results]
    assert all(b"must have the columns sequenceno, cloudevent" in each.stderr for each in results)
