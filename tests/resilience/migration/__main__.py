"""Import a table of PostgreSQL twice: in one run, and with a kill in the middle. `make migrate ROWS=1000000`.

At the end the ids of both logs, in the order of the log, are those of the table in its own order.
"""

import asyncio
import hashlib
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types

from tests.support.postgres import Postgres, running_postgres
from tests.support.service import COMMAND, clean_environment
from tests.support.sqlite_store import end_offset, query
from tests.support.waiting import wait_until

SECONDS_MAX = 3_600.0
_IDS = "SELECT cloudevent->>'id' FROM events.events ORDER BY sequenceno"


def main() -> int:
    """Run both imports, and print times and rates."""
    rows = int(sys.argv[1])
    with running_postgres() as postgres, tempfile.TemporaryDirectory(prefix="eventfeed-migrate-") as name:
        folder = Path(name)
        postgres.create_tables()
        postgres.fill(rows)
        ids = asyncio.run(digest_of_table(postgres))
        start = time.monotonic()
        output = migrate(postgres, folder / "whole")
        print(output, end="")
        seconds = float(output.split("Imported in ")[1].split()[0])
        print(f"{rows / seconds:.0f} rows a second, {rows / (time.monotonic() - start):.0f} with the comparison")
        print(f"killed after {kill_in_the_middle(postgres, folder / 'part', rows=rows)} rows")
        print(migrate(postgres, folder / "part"), end="")
        logs = [digest_of_log(folder / each) for each in ("whole", "part")]
        print("ids and order are those of the table" if logs == [ids, ids] else "the logs have other ids")
        return int(logs != [ids, ids])


def migrate(postgres: Postgres, folder: Path) -> str:
    """Import the table, and return the output of the command."""
    folder.mkdir(exist_ok=True)
    result = subprocess.run(
        [COMMAND, "migrate", postgres.url],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert (0, b"") == (result.returncode, result.stderr), result.stderr.decode()
    return result.stdout.decode()


def kill_in_the_middle(postgres: Postgres, folder: Path, *, rows: int) -> int:
    """Kill an import after half of the rows, and return the number of rows in its log."""
    folder.mkdir()
    with subprocess.Popen([COMMAND, "migrate", postgres.url], cwd=folder, env=clean_environment()) as process:
        wait_until(lambda: end_offset(store(folder)) >= rows // 2, timeout=SECONDS_MAX)
        process.send_signal(signal.SIGKILL)
    return end_offset(store(folder))


def store(folder: Path) -> Path:
    """The file of the default store of a folder."""
    return folder / ".eventfeed/log.db"


def digest_of_log(folder: Path) -> str:
    """Return a digest of the ids of the log, in its order."""
    digest = hashlib.sha256()
    for (id_,) in query(store(folder), "SELECT id FROM entry ORDER BY sequence"):
        digest.update(f"{id_}\n".encode())
    return digest.hexdigest()


async def digest_of_table(postgres: Postgres) -> str:
    """Return a digest of the ids of the table, in its order."""
    digest = hashlib.sha256()
    connection = await asyncpg.connect(postgres.url)
    async with connection.transaction():
        async for row in connection.cursor(_IDS, prefetch=5_000):
            digest.update(f"{row[0]}\n".encode())
    await connection.close()
    return digest.hexdigest()


sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a text stream
sys.exit(main())
