"""Session consistency on Cosmos DB: what this process has seen it sees again, whichever replica answers.

The emulator has no replicas, so the network plays them: it lets a query see no more than one that lags behind would.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from eventfeed.domain.errors import LogDamaged, Unavailable
from eventfeed.domain.feed import AppFeed, Filter, Query
from eventfeed.domain.ports import Head
from eventfeed.log.cosmos import database as cosmos_client
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.log.cosmos.segments import End
from tests.emulator.fault_proxy import Fault, Network, network_to
from tests.emulator.running import log_behind
from tests.support.events import TTD, entries, entry

SEGMENT_ENTRIES = 10
EVERYTHING = Query(feed=AppFeed(app=TTD))
LOG = [*entries(1, 20), *entries(21, 23)]
LAGGING = [Fault.BEHIND] * 4


def of_id(position: int) -> Query:
    """What finds the entry that stands there by its event's id."""
    return Query(feed=AppFeed(app=TTD), filter=Filter(id=LOG[position - 1].event.identity.id))


@asynccontextmanager
async def filled(url: str, network: Network, *, upto: int = 23) -> AsyncIterator[CosmosLog]:
    """A log of so many entries, just written by this process."""
    if not url:
        pytest.skip("there is no emulator: `make test` installs it")
    async with log_behind(network, url, segment_entries=SEGMENT_ENTRIES) as log:
        await log.append(LOG[:upto], after=0)
        yield log


VERBS: dict[str, Callable[[CosmosLog, int], Awaitable[object]]] = {
    "head": lambda log, _: log.head(),
    "follow": lambda log, _: log.follow(after=0, limit=100),
    "follow from the end": lambda log, end: log.follow(after=end - 1, limit=100),
    "scan": lambda log, end: log.scan(EVERYTHING, after=0, through=end, limit=100),
    "scan for an id": lambda log, end: log.scan(of_id(end), after=0, through=end, limit=100),
    "find the last": lambda log, end: log.find([LOG[end - 1].event]),
    "find the last of the segment before": lambda log, _: log.find([LOG[19].event]),
    "seek the last": lambda log, end: log.seek(LOG[end - 1].time),
    "expire but the last": lambda log, end: log.expire(before=LOG[end - 1].time),
    "append": lambda log, end: log.append([entry(end + 1)], after=end),
}


@pytest.mark.parametrize("end", [20, 21, 23], ids=["full segment", "new segment", "within a segment"])
@pytest.mark.parametrize("name", VERBS)
async def test_a_replica_that_lags_behind_is_not_believed(emulator_url: str, name: str, end: int) -> None:
    """The verb comes to the same as on one that has everything."""
    results = list[object]()
    for lagging in ([], LAGGING):
        network = network_to(emulator_url)
        async with filled(emulator_url, network, upto=end) as log:
            network.next = [*lagging]
            result = await VERBS[name](log, end)
            results.append(result.end_offset if isinstance(result, Head) else result)

    assert results[0] == results[1]


async def test_what_was_followed_is_found(emulator_url: str) -> None:
    """An identity that another process wrote and this one has seen is no longer new, whoever is asked."""
    network = network_to(emulator_url)
    async with filled(emulator_url, network) as log:
        log._segments.seen, log._certain = End(5, 5_000_000), False
        await log.follow(after=5, limit=100)
        network.next = [*LAGGING]
        found = await log.find([LOG[22].event])

    assert {LOG[22].event.identity} == set(found.identities)


async def test_a_replica_that_never_catches_up_is_unavailable(
    emulator_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is told of what it may not have."""
    monkeypatch.setattr(cosmos_client, "BEHIND_SECONDS", 0.0)
    network = network_to(emulator_url)
    async with filled(emulator_url, network) as log:
        network.next = [Fault.BEHIND] * 100
        with pytest.raises(Unavailable):
            await log.find([LOG[22].event])


async def test_a_log_that_ends_before_its_record_says_is_damaged(
    emulator_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries that this process, or the record, has seen are gone: no number may be given a second time."""
    monkeypatch.setattr(cosmos_client, "BEHIND_SECONDS", 0.0)
    async with filled(emulator_url, network_to(emulator_url)) as log:
        await log._manifest.change("expire", lambda record: replace(record, position=24))
        with pytest.raises(LogDamaged, match="24"):
            await log.head()


class Sessions(Network):
    """A store that tells a session token with each answer, one higher each time, and notes what comes back."""

    told = 0

    def __init__(self, base: Network) -> None:
        super().__init__(base.host, base.port, base.rate, base.rng)
        self.sent = list[int]()

    def answered(self, request: bytes, answer: bytes) -> bytes:
        """See `Network.answered`."""
        if b"/pkranges" in request.split(b"\r\n", 1)[0]:
            # The emulator's ranges are named by a number, the service's by a text: two characters more.
            longer = re.sub(rb'"id": ?0([,}])', rb'"id":"0"\1', answer)
            head, _, body = longer.partition(b"\r\n\r\n")
            return re.sub(rb"(?i)content-length: *[0-9]+", b"Content-Length: %d" % len(body), head) + b"\r\n\r\n" + body
        target = re.match(rb"POST /(dbs/[^/]+/colls/[^/]+)/docs/? ", request)
        if target is None:
            return answer
        if b" FROM c WHERE c.segment" in request:
            token = re.search(rb"\r\nx-ms-session-token: 0:-1#([0-9]+)\r\n", request)
            self.sent.append(int(token[1]) if token else 0)
        self.told += 1
        line, _, rest = answer.partition(b"\r\n")
        session = b"x-ms-session-token: 0:-1#%d\r\nx-ms-alt-content-path: %b" % (self.told, target[1])
        return b"\r\n".join((line, session, rest))


async def test_the_session_token_of_the_end_comes_with_what_is_asked_next(emulator_url: str) -> None:
    """The end is read before anything up to it, through the same client: each query sends what it was told before."""
    network = Sessions(network_to(emulator_url))
    async with filled(emulator_url, network) as log:
        before = len(network.sent)
        head = await log.head()
        told = [network.told]
        await log.follow(after=20, limit=100)
        told.append(network.told)
        await log.scan(EVERYTHING, after=20, through=head.end_offset, limit=100)
        told.append(network.told)
        await log.find([LOG[0].event])

    asked = network.sent[before + 1 :]
    assert told == asked[: len(told)]
    assert all(each >= told[-1] for each in asked[len(told) :])
