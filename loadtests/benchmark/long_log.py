"""How long a page takes in a long log, over a short one: everything is a seek, so it should be the same."""

import random
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from loadtests.benchmark.events import PUBLISH, authorized, event
from loadtests.benchmark.figures import Figure
from loadtests.benchmark.serving import Server, service

SHORT, LONG = 100_000, 10_000_000
# The log is that of as many apps, in turn.
APPS = 20
PAGES = 400
ROUNDS = 5
_STORE = ".eventfeed/log.db"

# The rows of a log are copied from its first one: places in order, each with an identity of its own.
_FILL = """
WITH RECURSIVE place(n) AS (SELECT :after + 1 UNION ALL SELECT n + 1 FROM place WHERE n < :through)
INSERT INTO entry
SELECT n, time + n - 1, mark, randomblob(32), content, 'id-' || n, source, type, subject, org, 'bench-' || (n % :apps),
       NULL, resource, body
FROM place, (SELECT * FROM entry WHERE sequence = 1)
"""


def long_log_figures(folder: Path) -> Iterator[Figure]:
    """Pages of 50 of one app at random places, one after another (ms)."""
    with _filled(folder / "short", SHORT) as short, _filled(folder / "long", LONG) as long:
        rounds = [(_page_milliseconds(long, LONG), _page_milliseconds(short, SHORT)) for _ in range(ROUNDS)]
    ours, bare = [each[0] for each in rounds], [each[1] for each in rounds]
    yield Figure(
        name=f"page of 50 at {LONG:,} entries / at {SHORT:,}",
        ours=min(ours),
        bare=min(bare),
        ratio=min(ours) / min(bare),
        unit="ms",
        ours_rounds=ours,
        bare_rounds=bare,
    )


@contextmanager
def _filled(folder: Path, entries: int) -> Iterator[Server]:
    """A service on a log of so many entries."""
    folder.mkdir()
    with service(folder) as server:
        body = event(app="bench-0")
        answer = server.client.post(PUBLISH, content=body, headers=_json(server))
        answer.raise_for_status()
    _fill(folder / _STORE, entries)
    with service(folder) as server:
        yield server


def _fill(path: Path, entries: int) -> None:
    """Write the rows into a log that nobody has open; indexes afterwards, which is faster."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -1000000")
    indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    db.execute("BEGIN")
    for name, _ in indexes:
        db.execute(f"DROP INDEX {name}")
    db.execute(_FILL, {"after": 1, "through": entries, "apps": APPS})
    for _, sql in indexes:
        db.execute(sql)
    db.execute("UPDATE log SET position = ?, time = (SELECT max(time) FROM entry)", (entries,))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def _page_milliseconds(server: Server, entries: int) -> float:
    headers, took = authorized(server), list[float]()
    dice = random.Random(entries)  # noqa: S311  # load
    for _ in range(PAGES):
        after, app = dice.randrange(entries - 50 * APPS), dice.randrange(APPS)
        path = f"/events/api/v1/app/ttd/bench-{app}?after={after}&size=50"
        started = time.perf_counter()
        answer = server.client.get(path, headers=headers)
        took.append(time.perf_counter() - started)
        if answer.status_code != 200 or answer.content.count(b'"specversion"') != 50:
            raise RuntimeError(answer.text[:500])
    return 1_000 * median(took)


def _json(server: Server) -> Mapping[str, str]:
    return {**authorized(server), "Content-Type": "application/json"}
