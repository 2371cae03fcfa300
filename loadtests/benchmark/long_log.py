"""The time of a page in a long log, compared with a short one. Every page is a seek, so it should be the same."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import apsw

from loadtests.benchmark.effort import Effort
from loadtests.benchmark.events import PUBLISH, authorization, event, log_end
from loadtests.benchmark.figures import Figure, best_of, with_workers
from loadtests.benchmark.servers import Server, service

# The events of the log belong to this many apps, in turn.
APPS = 20

# The rows of a log are copies of its first row, with consecutive sequences and ids of their own.
_FILL = """
WITH RECURSIVE position(n) AS (SELECT :after + 1 UNION ALL SELECT n + 1 FROM position WHERE n < :through)
INSERT INTO entry
SELECT n, time + n - 1, mark, x'', content, 'id-' || n, source, type, subject, org, 'bench-' || (n % :apps),
       NULL, resource, body
FROM position, (SELECT * FROM entry WHERE sequence = 1)
"""


def long_log_figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    """Pages of 50 of one app at random positions, one after another (ms)."""
    short, long = log_folder(folder / "short", effort.short_log), log_folder(folder / "long", effort.long_log)
    for workers in effort.workers:
        with service(long, workers=workers) as ours, service(short, workers=workers) as bare:
            rounds = [
                (_page_milliseconds(ours, effort), _page_milliseconds(bare, effort)) for _ in range(effort.rounds)
            ]
        name = f"page of 50 at {effort.long_log:,} entries / at {effort.short_log:,}{with_workers(workers)}"
        yield best_of(name, [each[0] for each in rounds], bare=[each[1] for each in rounds], unit="ms")


def log_folder(folder: Path, entries: int, *, apps: int = APPS) -> Path:
    """Create the folder of a service whose log has this many entries, of these apps in turn."""
    folder.mkdir()
    with service(folder) as server:
        headers = {**authorization(server), "Content-Type": "application/json"}
        server.client.post(PUBLISH, content=event(app="bench-0"), headers=headers).raise_for_status()
        store = server.store
    _fill(store, entries, apps=apps)
    return folder


def _fill(path: Path, entries: int, *, apps: int) -> None:
    """Write the rows into a closed log, and the indexes afterwards, which is faster."""
    db = apsw.Connection(str(path))
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -1000000")
    indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    db.execute("BEGIN")
    for name, _ in indexes:
        db.execute(f"DROP INDEX {name}")
    db.execute(_FILL, {"after": 1, "through": entries, "apps": apps})
    for _, sql in indexes:
        db.execute(str(sql))
    db.execute("UPDATE log SET position = ?, time = (SELECT max(time) FROM entry)", (entries,))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def _page_milliseconds(server: Server, effort: Effort) -> float:
    """The median time of a page."""
    headers, times = authorization(server), list[float]()
    _, entries = log_end(server, headers)
    rng = random.Random(entries)  # noqa: S311  # load
    for _ in range(effort.log_pages):
        after, app = rng.randrange(entries - 50 * APPS), rng.randrange(APPS)
        path = f"/events/api/v1/app/ttd/bench-{app}?after={after}&size=50"
        start = time.perf_counter()
        response = server.client.get(path, headers=headers)
        times.append(time.perf_counter() - start)
        if response.status_code != 200 or response.content.count(b'"specversion"') != 50:
            raise RuntimeError(response.text[:500])
    return 1_000 * median(times)
