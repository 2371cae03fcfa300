"""One run of all measurements, as one table, and as JSON with `--json FILE`."""

import argparse
import asyncio
import json
import platform
import sqlite3
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import httpx

from loadtests.benchmark.pages import Target, compare
from loadtests.benchmark.publishes import event, published_a_second, rows_a_second
from loadtests.benchmark.serving import Server, bare, service

EVENTS = 10_000
FEED = "/events/api/v1/app/ttd/bench"
SCOPES = "altinn:events/ttd altinn:events.publish"


class Figure(NamedTuple):
    """One line of the table; `bare` is 0 where there is nothing to compare with."""

    name: str
    ours: float
    bare: float
    unit: str


def main() -> None:
    """Measure, print, and keep."""
    arguments = argparse.ArgumentParser(prog="make bench")
    arguments.add_argument("--json", type=Path, metavar="FILE")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = _measure(Path(folder))
    where = f"{platform.machine()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    versions = ", ".join(f"{name} {version(name)}" for name in ("granian", "litestar", "msgspec", "uvloop"))
    print(f"{where}; {versions}")
    for each in figures:
        compared = f"{each.bare:>12,.1f} {each.ours / each.bare:>8.2f}" if each.bare else " " * 21
        print(f"{each.name:<52} {each.ours:>12,.1f} {compared}  {each.unit}")
    if chosen.json:
        chosen.json.write_text(json.dumps([each._asdict() for each in figures], indent=2))


def _measure(folder: Path) -> list[Figure]:
    served, figures = folder / "served", list[Figure]()
    served.mkdir()
    with service(served) as first:
        figures.append(Figure("start-up in an empty folder", first.ready_seconds, 0, "s"))
    with service(served) as running:
        figures.append(Figure("start-up again", running.ready_seconds, 0, "s"))
        figures.append(Figure("memory at rest", running.memory(), 0, "MiB"))
        token = _token(running)
        _fill(running, token)
        figures += _pages(running, token, folder)
        figures.append(Figure("memory after pages", running.memory(), 0, "MiB"))
        ours = asyncio.run(published_a_second(running.url, token))
        raw = rows_a_second(folder)
        figures.append(Figure("durable publishes, 64 publishers / raw SQLite batches", ours, raw, "1/s"))
        figures.append(Figure("memory after publishes", running.memory(), 0, "MiB"))
    return figures


def _pages(running: Server, token: str, folder: Path) -> list[Figure]:
    """Pages in the middle of the log, near its end, and past it, over the bytes alone."""
    authorized = {"Authorization": f"Bearer {token}"}
    page = httpx.get(f"{running.url}{FEED}?after=0&size=50", headers=authorized).raise_for_status()
    end = httpx.get(f"{running.url}/events/api/v1/head", headers=authorized).json()["cursor"]
    near = f"{end.partition('.')[0]}.{int(end.partition('.')[2]) - 50}"
    tag = httpx.get(f"{running.url}{FEED}?after={end}", headers=authorized).headers["etag"]
    wanted: list[tuple[str, str, Mapping[str, str], str]] = [
        ("app-feed page of 50, from the store", f"{FEED}?after=0&size=50", {}, "/"),
        ("app-feed page of 50, from memory", f"{FEED}?after={near}&size=50", {}, "/"),
        ("caught-up page", f"{FEED}?after={end}", {}, "/empty"),
        ("caught-up 304", f"{FEED}?after={end}", {"If-None-Match": tag}, "/empty"),
    ]
    figures = list[Figure]()
    with bare(folder, body=page.content, media_type=page.headers["content-type"]) as other:
        for name, path, headers, compared in wanted:
            ours, theirs = Target(running.url + path, {**authorized, **headers}), Target(other.url + compared, {})
            compare(ours, theirs)
            figures.append(Figure(f"{name} / bare handler", ours.best, theirs.best, "1/s"))
    return figures


def _token(running: Server) -> str:
    form = {"org_number": "991825827", "scope": SCOPES}
    external = httpx.post(f"{running.url}/development/maskinporten/token", data=form).raise_for_status().text
    exchange = f"{running.url}/authentication/api/v1/exchange/maskinporten"
    return httpx.get(exchange, headers={"Authorization": f"Bearer {external}"}).raise_for_status().text


def _fill(running: Server, token: str) -> None:
    """The log that pages are read from."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with httpx.Client(base_url=running.url, headers=headers) as client:
        for _ in range(EVENTS // 100):
            body = b"[%b]" % b",".join(event() for _ in range(100))
            client.post("/events/api/v1/app", content=body).raise_for_status()


if __name__ == "__main__":
    main()
