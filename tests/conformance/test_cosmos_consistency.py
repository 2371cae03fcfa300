"""Session consistency on Cosmos DB: a process reads the entries that it has read or written before, from any replica.

The emulator has no replicas. The network simulates one that lags behind: it excludes the newest entries from a query.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from eventfeed.domain.errors import LogDamaged, Unavailable
from eventfeed.domain.feed import Feed, app_feed
from eventfeed.domain.ports import Head
from eventfeed.log.cosmos import retry
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.log.cosmos.segments import End
from tests.emulator.fault_proxy import Fault, Network, network_to
from tests.emulator.running import open_log_through
from tests.support.conditions import conditions
from tests.support.events import TTD, entries, entry

SEGMENT_ENTRIES = 10
FEED = app_feed(TTD)
LOG = entries(1, 23)
STALE = [Fault.STALE_REPLICA] * 4


def feed_of_id(position: int) -> Feed:
    """The feed of the event at a position, by its id."""
    return FEED.where(*conditions(id=LOG[position - 1].event.identity.id))


@asynccontextmanager
async def open_written_log(url: str, network: Network, *, end: int = 23) -> AsyncIterator[CosmosLog]:
    """Open a log while the block lasts. This process has just written its entries up to `end`."""
    async with open_log_through(network, url, segment_entries=SEGMENT_ENTRIES) as log:
        await log.append(LOG[:end], after=0)
        yield log


VERBS: dict[str, Callable[[CosmosLog, int], Awaitable[object]]] = {
    "head": lambda log, _: log.head(),
    "follow": lambda log, _: log.follow(after=0, limit=100),
    "follow from the end": lambda log, end: log.follow(after=end - 1, limit=100),
    "scan": lambda log, end: log.scan(FEED, after=0, through=end, limit=100),
    "scan for an id": lambda log, end: log.scan(feed_of_id(end), after=0, through=end, limit=100),
    "find the last": lambda log, end: log.find([LOG[end - 1].event]),
    "find the last of the previous segment": lambda log, _: log.find([LOG[19].event]),
    "seek the last": lambda log, end: log.seek(LOG[end - 1].time),
    "expire all but the last": lambda log, end: log.expire(before=LOG[end - 1].time),
    "append": lambda log, end: log.append([entry(end + 1)], after=end),
}


@pytest.mark.parametrize("end", [20, 21, 23], ids=["full segment", "new segment", "within a segment"])
@pytest.mark.parametrize("name", VERBS)
async def test_verb_on_a_stale_replica_has_the_same_result(emulator_url: str, name: str, end: int) -> None:
    """The result is the same as from a replica that has every entry."""
    results = list[object]()
    for faults in ([], STALE):
        network = network_to(emulator_url)
        async with open_written_log(emulator_url, network, end=end) as log:
            network.next = [*faults]
            result = await VERBS[name](log, end)
            results.append(result.end_offset if isinstance(result, Head) else result)

    assert results[0] == results[1]


async def test_event_read_before_is_found_on_a_stale_replica(emulator_url: str) -> None:
    """This process has read an event of another process, so the event is not new, whichever replica responds."""
    network = network_to(emulator_url)
    async with open_written_log(emulator_url, network) as log:
        log._segments.newest, log._can_append = End(5, 5_000_000), False
        await log.follow(after=5, limit=100)
        network.next = [*STALE]
        lookup = await log.find([LOG[22].event])

    assert {LOG[22].event.identity} == set(lookup.identities)


async def test_replica_that_never_catches_up_is_unavailable(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb never returns a result that may be incomplete."""
    monkeypatch.setattr(retry, "STALE_SECONDS", 0.0)
    network = network_to(emulator_url)
    async with open_written_log(emulator_url, network) as log:
        network.next = [Fault.STALE_REPLICA] * 100
        with pytest.raises(Unavailable):
            await log.find([LOG[22].event])


async def test_log_that_ends_before_its_manifest_is_damaged(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries that were in the log are lost, and their positions must not be used again."""
    monkeypatch.setattr(retry, "STALE_SECONDS", 0.0)
    async with open_written_log(emulator_url, network_to(emulator_url)) as log:
        await log._manifest.change("expire", lambda manifest: replace(manifest, position=24))
        with pytest.raises(LogDamaged, match="24"):
            await log.head()


class SessionNetwork(Network):
    """A network that adds a session token, one higher each time, to each response, and notes those of requests."""

    newest_token = 0

    def __init__(self, base: Network) -> None:
        super().__init__(base.host, base.port, base.rate, base.rng)
        self.request_tokens = list[int]()

    def on_response(self, request: bytes, response: bytes) -> bytes:
        """See `Network.on_response`."""
        if b"/pkranges" in request.split(b"\r\n", 1)[0]:
            # The emulator's ranges have a number as id, the service's a text: two characters more.
            response = re.sub(rb'"id": ?0([,}])', rb'"id":"0"\1', response)
            head, _, body = response.partition(b"\r\n\r\n")
            return re.sub(rb"(?i)content-length: *[0-9]+", b"Content-Length: %d" % len(body), head) + b"\r\n\r\n" + body
        target = re.match(rb"POST /(dbs/[^/]+/colls/[^/]+)/docs/? ", request)
        if target is None:
            return response
        if b" FROM c WHERE c.segment" in request:
            token = re.search(rb"\r\nx-ms-session-token: 0:-1#([0-9]+)\r\n", request)
            self.request_tokens.append(int(token[1]) if token else 0)
        self.newest_token += 1
        line, _, rest = response.partition(b"\r\n")
        session = b"x-ms-session-token: 0:-1#%d\r\nx-ms-alt-content-path: %b" % (self.newest_token, target[1])
        return b"\r\n".join((line, session, rest))


async def test_query_sends_the_session_token_of_the_end(emulator_url: str) -> None:
    """A verb reads the end first and then other entries, each query with the token of the response before it."""
    network = SessionNetwork(network_to(emulator_url))
    async with open_written_log(emulator_url, network) as log:
        before = len(network.request_tokens)
        head = await log.head()
        tokens = [network.newest_token]
        await log.follow(after=20, limit=100)
        tokens.append(network.newest_token)
        await log.scan(FEED, after=20, through=head.end_offset, limit=100)
        tokens.append(network.newest_token)
        await log.find([LOG[0].event])

    later_tokens = network.request_tokens[before + 1 :]
    assert tokens == later_tokens[: len(tokens)]
    assert all(each >= tokens[-1] for each in later_tokens[len(tokens) :])
