"""Session consistency on Cosmos DB: a process reads the entries that it has read or written before, from any replica.

The emulator has no replicas. The network numbers the state of the store as the service does, by session tokens, and
plays a replica that lags behind: it refuses a request with a newer token than its own state.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from eventfeed.domain.errors import LogDamaged, TailMoved, Unavailable
from eventfeed.domain.feed import app_feed
from eventfeed.log.cosmos import retry
from eventfeed.log.cosmos.database import QueryPage
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.log.cosmos.segments import End
from tests.emulator.fault_proxy import Fault, Network, network_to
from tests.emulator.running import open_log, open_log_through
from tests.support.conditions import conditions
from tests.support.events import TTD, entries, entry

SEGMENT_ENTRIES = 10
FEED = app_feed(TTD)
LOG = entries(1, 23)
_TOKEN = re.compile(rb"(?i)\r\nx-ms-session-token: ([^\r]*)\r\n")


class SessionNetwork(Network):
    """A network that adds a session token, one higher with each response, and notes those of requests for documents."""

    newest_token = 0

    def __init__(self, base: Network) -> None:
        super().__init__(base.host, base.port, base.rate, base.rng)
        self.request_tokens = list[int]()

    def on_request(self, request: bytes) -> None:
        """See `Network.on_request`."""
        if _documents_of(request) == b"commits":
            token = _TOKEN.search(request)
            numbers = re.findall(rb"#([0-9]+)", token[1]) if token else []
            self.request_tokens.append(max(map(int, numbers), default=0))

    def on_response(self, request: bytes, response: bytes) -> bytes:
        """See `Network.on_response`."""
        if b"/pkranges" in request.split(b"\r\n", 1)[0]:
            # The emulator's ranges have a number as id, the service's a text: two characters more.
            response = re.sub(rb'"id": ?0([,}])', rb'"id":"0"\1', response)
            head, _, body = response.partition(b"\r\n\r\n")
            return re.sub(rb"(?i)content-length: *[0-9]+", b"Content-Length: %d" % len(body), head) + b"\r\n\r\n" + body
        target = re.match(rb"POST /(dbs/[^/]+/colls/commits)/docs/? ", request)
        if target is None:
            return response
        self.newest_token += 1
        line, _, rest = response.partition(b"\r\n")
        session = b"x-ms-session-token: 0:-1#%d\r\nx-ms-alt-content-path: %b" % (self.newest_token, target[1])
        return b"\r\n".join((line, session, rest))


def _documents_of(request: bytes) -> bytes:
    """Return the container whose documents a request is for, else b""."""
    target = re.match(rb"POST /dbs/[^/]+/colls/([a-z]+)/docs/? ", request)
    return target[1] if target else b""


@asynccontextmanager
async def open_written_log(url: str, network: Network) -> AsyncIterator[CosmosLog]:
    """Open a log while the block lasts. This process has just written its entries."""
    async with open_log_through(network, url, segment_entries=SEGMENT_ENTRIES) as log:
        await log.append(LOG, after=0)
        yield log


VERBS: dict[str, Callable[[CosmosLog], Awaitable[object]]] = {
    "head": lambda log: log.head(),
    "follow": lambda log: log.follow(after=22, limit=100),
    "dense scan": lambda log: log.scan(FEED, after=22, through=23, limit=100),
    "sparse scan": lambda log: log.scan(FEED.where(*conditions(id="x")), after=0, through=23, limit=100),
    "find": lambda log: log.find([LOG[22].event]),
    "seek": lambda log: log.seek(LOG[22].time),
    "append": lambda log: log.append([entry(24)], after=23),
}


@pytest.mark.parametrize("name", VERBS)
async def test_every_request_carries_the_token_of_the_response_before_it(emulator_url: str, name: str) -> None:
    """Also the first one after an append: so a replica without the process's own entries cannot respond."""
    network = SessionNetwork(network_to(emulator_url))
    async with open_written_log(emulator_url, network) as log:
        newest = network.newest_token
        network.request_tokens.clear()
        await VERBS[name](log)

    assert network.request_tokens
    # The SDK sends none with a creation: only the primary replica takes it.
    expectation = [0] if name == "append" else list(range(newest, newest + len(network.request_tokens)))
    assert expectation == network.request_tokens


@pytest.mark.parametrize("name", VERBS)
async def test_replica_that_lags_behind_is_asked_again(emulator_url: str, name: str) -> None:
    """It refuses the token of the session with 404/1002, until it has caught up."""
    network = network_to(emulator_url)
    async with open_written_log(emulator_url, network) as log:
        expectation = await VERBS[name](log) if name != "append" else None
        network.next = [Fault.STALE_REPLICA] * 4 if name != "append" else []
        result = await VERBS[name](log)
        await log.append([entry(24 + (name == "append"))], after=23 + (name == "append"))

    assert expectation == result


async def test_replica_that_never_catches_up_is_unavailable(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb never returns a result that may be incomplete."""
    network = network_to(emulator_url)
    async with open_written_log(emulator_url, network) as log:
        monkeypatch.setattr(retry, "VERB_SECONDS_MAX", 0.3)
        network.next = [Fault.STALE_REPLICA] * 1_000
        with pytest.raises(Unavailable):
            await log.find([LOG[22].event])


async def test_loser_of_a_race_waits_for_the_commit_of_the_winner(
    emulator_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that lacks it is no damage: the refusal says that the commit exists, but has no session token here."""
    network = network_to(emulator_url)
    async with open_written_log(emulator_url, network) as log:
        winner = await open_log(log._database, segment_entries=SEGMENT_ENTRIES)
        await winner.append([entry(24)], after=23)
        read_end, stale_ends = log._segments._segment_end, [End(23, LOG[22].time)] * 3

        async def read_end_later(segment: int) -> End:
            return stale_ends.pop() if stale_ends else await read_end(segment)

        monkeypatch.setattr(log._segments, "_segment_end", read_end_later)
        with pytest.raises(TailMoved) as error:
            await log.append([entry(24)], after=23)

    assert ([], 24) == (stale_ends, error.value.actual)


async def test_append_during_a_read_of_the_end_is_no_damage(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The response was made before the append: that it lacks the entry is no hole."""
    async with open_written_log(emulator_url, network_to(emulator_url)) as log:
        read_page = log._commits.page

        async def read_page_and_append(*args: Any, **kwargs: Any) -> QueryPage:
            page = await read_page(*args, **kwargs)
            await log.append([entry(24)], after=23)
            return page

        monkeypatch.setattr(log._commits, "page", read_page_and_append)
        entries_after = await log.follow(after=23, limit=10)
        monkeypatch.undo()

        assert [] == entries_after
        assert 24 == (await log.head()).end_offset


async def test_log_that_ends_before_its_manifest_is_damaged(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries that were in the log are lost, and their positions must not be used again."""
    monkeypatch.setattr(retry, "STALE_SECONDS", 0.0)
    async with open_written_log(emulator_url, network_to(emulator_url)) as log:
        await log._manifest.change("expire", lambda manifest: replace(manifest, position=24))
        with pytest.raises(LogDamaged, match="24"):
            await log.head()
