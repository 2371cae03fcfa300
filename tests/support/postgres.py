"""A PostgreSQL server of Debian's package, with the table of events of Altinn/altinn-events.

The columns, defaults and the unique index are those of its scripts src/Events/Migration/v0.00 (`events_app`), v0.21 and
v0.43 (`events`).
"""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest

from tests.support.service import free_port
from tests.support.waiting import WAIT_SECONDS_MAX, wait_until

USER = "postgres"
_PROGRAMS = "/usr/lib/postgresql/*/bin"
# The server is thrown away: nothing needs to reach the disk.
_OPTIONS = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "jit=off")

TABLES = """
CREATE SCHEMA events;
CREATE TABLE events.events (
  sequenceno BIGSERIAL,
  cloudevent JSONB NOT NULL,
  registeredtime timestamptz DEFAULT (now() AT TIME ZONE 'utc'),
  CONSTRAINT events_pkey PRIMARY KEY (sequenceno)
);
CREATE UNIQUE INDEX idx_events_id_source ON events.events ((cloudevent -> 'id'), (cloudevent -> 'source'));
CREATE TABLE events.events_app (
  sequenceno BIGSERIAL,
  id character varying NOT NULL,
  source character varying NOT NULL,
  subject character varying NOT NULL,
  "time" timestamptz NOT NULL,
  type character varying NOT NULL,
  cloudevent text NOT NULL,
  CONSTRAINT events_app_pkey PRIMARY KEY (sequenceno)
);
"""
# Events as `EventsClient` of Altinn/app-lib-dotnet and the platform make them: six events an instance, spread over an
# hour that ends a minute ago.
FILL = """
INSERT INTO events.events (cloudevent, registeredtime)
SELECT jsonb_build_object(
    'id', gen_random_uuid(), 'specversion', '1.0', 'type', 'app.instance.process.completed',
    'source', 'https://ttd.apps.altinn.no/ttd/app-' || app || '/instances/' || party || '/' || guid,
    'subject', '/party/' || party, 'alternativesubject', '/organisation/' || (310000000 + party % 1000),
    'time', to_char(time AT TIME ZONE 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'resource', 'urn:altinn:resource:app_ttd_app-' || app, 'resourceinstance', party || '/' || guid),
  time + interval '20 milliseconds'
FROM (
  SELECT number, 50000000 + number / 6 % 100000 AS party, number / 6 % 40 AS app,
    uuid_in(md5((number / 6)::text)::cstring) AS guid,
    now() - interval '61 minutes' + number * interval '1 hour' / {rows} AS time
  FROM generate_series(0, {rows} - 1) AS number
  ORDER BY number
) AS row
"""


class Postgres:
    """A running server; `url` names its database, `folder` holds its files."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Return the rows of a query."""

        async def run() -> list[tuple[object, ...]]:
            connection = await asyncpg.connect(self.url)
            try:
                return [tuple(row) for row in await connection.fetch(sql)]
            finally:
                await connection.close()

        return asyncio.run(run())

    def insert(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run a statement for the values of each row."""

        async def run() -> None:
            connection = await asyncpg.connect(self.url)
            try:
                await connection.executemany(sql, rows)
            finally:
                await connection.close()

        asyncio.run(run())

    def psql(self, command: str) -> bytes:
        """Run a command of psql, and return its output."""
        arguments = [str(_program("psql")), "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-c", command, self.url]
        return subprocess.run(arguments, capture_output=True, timeout=WAIT_SECONDS_MAX, check=True).stdout

    def create_tables(self) -> None:
        """Make both tables anew, without rows."""
        self.psql("DROP SCHEMA IF EXISTS events CASCADE")
        self.psql(TABLES)

    def fill(self, rows: int) -> None:
        """Insert rows."""
        self.psql(FILL.format(rows=rows))


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server in a new folder while the block lasts. Without the package, skip the test; in CI, fail it."""
    _program("initdb")
    # The user of the server cannot enter the folders of the tests.
    folder = Path(tempfile.mkdtemp(prefix="eventfeed-postgres-"))
    try:
        with _started(folder) as postgres:
            yield postgres
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(folder: Path) -> Iterator[Postgres]:
    user = pwd.getpwnam(USER).pw_uid if os.getuid() == 0 else os.getuid()
    os.chown(folder, user, -1)
    data, port = folder / "data", free_port()
    create: list[str | Path] = [
        _program("initdb"),
        "--no-sync",
        "--auth=trust",
        f"--username={USER}",
        "--encoding=UTF8",
        "-D",
        data,
    ]
    subprocess.run(create, user=user, cwd=folder, capture_output=True, timeout=WAIT_SECONDS_MAX, check=True)
    command: list[str | Path] = [
        _program("postgres"),
        "-D",
        data,
        "-p",
        str(port),
        "-h",
        "127.0.0.1",
        "-k",
        folder,
        *_OPTIONS,
    ]
    with (folder / "output").open("ab") as output:
        process = subprocess.Popen(command, user=user, cwd=folder, stdout=output, stderr=output)
    try:
        postgres = Postgres(f"postgresql://{USER}@127.0.0.1:{port}/{USER}", folder)
        wait_until(lambda: _accepts(postgres, process))
        yield postgres
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=WAIT_SECONDS_MAX)


def _accepts(postgres: Postgres, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, (postgres.folder / "output").read_text()
    with suppress(subprocess.CalledProcessError):
        return bool(postgres.psql("SELECT 1"))
    return False


def _program(name: str) -> Path:
    """Return the path of a program of the package."""
    path = max(Path("/").glob(f"{_PROGRAMS.removeprefix('/')}/{name}"), default=None)
    if path is None:
        assert not os.environ.get("CI"), "there is no PostgreSQL: `.ci/run` installs it"
        pytest.skip("there is no PostgreSQL on this machine")
    return path
