"""The clients of the stress test: publishers that repeat until they have receipts, and followers of feeds."""

import asyncio
import math
import random
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import httpx

from tests.support.events import guid
from tests.support.service import REQUEST_SECONDS_MAX, bearer

APPS = ("stress-a", "stress-b")
TYPES = ("instance.created", "instance.process.completed", "instance.feedback")
# The trial kills processes of the service: a client that gives up early would prove nothing.
OUTAGE_SECONDS_MAX = 180.0
PAUSE_SECONDS = 0.05
PUBLISHERS = 4
# The share of batches that are also published a second time: at once, and by a repetition after the receipts.
SHARED, REPEATED = 0.3, 0.05
# Each instance has many events, from several publishers at once.
INSTANCES = 100


class Item(NamedTuple):
    """An event at its position, from a receipt or a page."""

    sequence: int
    id: str


class Target(NamedTuple):
    """A service: its URL, and a token to publish and one to read."""

    url: str
    publish_token: str
    read_token: str


class Follower(NamedTuple):
    """The feed of a follower: an app, and types of events. No types mean all."""

    app: str
    types: tuple[str, ...]

    def wants(self, id_: str) -> bool:
        """True if the event with this id is in the feed. The id holds the numbers of app and type."""
        app, type_, _ = id_.split(":")
        return APPS[int(app)] == self.app and (not self.types or TYPES[int(type_)] in self.types)


def publish(targets: Sequence[Target], first: int, numbers: Sequence[int]) -> list[Item]:
    """Publish events with these numbers, with four publishers at once, and return the items of the receipts."""

    async def publish_in_parallel() -> list[Item]:
        clients = [
            httpx.AsyncClient(base_url=each.url, headers=bearer(each.publish_token), timeout=REQUEST_SECONDS_MAX)
            for each in targets
        ]
        shares = [numbers[start::PUBLISHERS] for start in range(PUBLISHERS)]
        work = [_publish(clients, share, random.Random(f"{first} {index}")) for index, share in enumerate(shares)]
        results = await asyncio.gather(*work)
        await asyncio.gather(*(client.aclose() for client in clients))
        return [item for items in results for item in items]

    return asyncio.run(publish_in_parallel())


async def _publish(clients: Sequence[httpx.AsyncClient], numbers: Sequence[int], rng: random.Random) -> list[Item]:
    items, start = list[Item](), 0
    while start < len(numbers):
        batch = [_event(number, rng) for number in numbers[start : start + _uneven(rng, 100)]]
        start += len(batch)
        # Another publisher has the same events, and sends them to another process at the same time.
        count = 2 if rng.random() < SHARED else 1
        results = await asyncio.gather(*(_post_until_receipts(clients, batch, rng) for _ in range(count)))
        if rng.random() < REPEATED:  # a publisher without a response repeats its request
            results.append(await _post_until_receipts(clients, batch, rng))
        assert all(each == results[0] for each in results), "two receipts of an event"
        items += results[0]
    return items


async def _post_until_receipts(
    clients: Sequence[httpx.AsyncClient], batch: Sequence[Mapping[str, object]], rng: random.Random
) -> list[Item]:
    """Publish a batch to one of the services, and again to any of them, until there are receipts."""
    deadline = time.monotonic() + OUTAGE_SECONDS_MAX
    while True:
        try:
            response = await rng.choice(clients).post("/events/api/v1/app", json=batch)
            if response.status_code == 201:
                return [Item(int(str(receipt["sequence"])), str(receipt["id"])) for receipt in response.json()]
            assert response.status_code == 503, response.text
        except httpx.TransportError:
            pass  # the process was killed; the repeat shows whether the batch is in the log
        assert time.monotonic() < deadline, "the service did not recover"
        await asyncio.sleep(PAUSE_SECONDS)


def _event(number: int, rng: random.Random) -> Mapping[str, object]:
    app, type_ = number % len(APPS), rng.randrange(len(TYPES))
    instance = guid(number % INSTANCES)
    return {
        "id": f"{app}:{type_}:{number}",
        "source": f"https://ttd.apps.example.no/ttd/{APPS[app]}/instances/50000001/{instance}",
        "specversion": "1.0",
        "type": TYPES[type_],
        "subject": "/party/50000001",
        "data": "x" * rng.randrange(300),
    }


def follow(targets: Sequence[Target], follower: Follower, end_file: Path) -> list[Item]:
    """Follow a feed from its start, in pages of 1 to 1,000, to the end of the log.

    Each page comes from any of the services. `end_file` appears when the log is complete, and holds its last sequence.
    Raises `AssertionError` if a page has more events than its size, or events out of order.
    """
    rng, items, cursor = random.Random(repr(follower)), list[Item](), "0"
    deadline = time.monotonic() + OUTAGE_SECONDS_MAX
    clients = [
        httpx.Client(base_url=each.url, headers=bearer(each.read_token), timeout=REQUEST_SECONDS_MAX)
        for each in targets
    ]
    while not (end_file.exists() and cursor.split(".")[1] == end_file.read_text()):
        size = _uneven(rng, 1000)
        response = _page(rng.choice(clients), follower, cursor=cursor, size=size)
        if response is None:
            assert time.monotonic() < deadline, "the service did not recover"
            time.sleep(PAUSE_SECONDS)
            continue
        deadline = time.monotonic() + OUTAGE_SECONDS_MAX
        page = [Item(int(event["sequence"]), event["id"]) for event in response.json()]
        assert len(page) <= size, "a page with more events than its size"
        assert all(one.sequence < other.sequence for one, other in pairwise([*items[-1:], *page])), "out of order"
        items += page
        cursor = response.headers["feed-cursor"]
        if response.headers["feed-more"] == "false":
            time.sleep(PAUSE_SECONDS)
    return items


def _page(client: httpx.Client, follower: Follower, *, cursor: str, size: int) -> httpx.Response | None:
    """Request a page. Return None if the service is unavailable."""
    query = urlencode([("after", cursor), ("size", size), *(("eventType", each) for each in follower.types)])
    try:
        response = client.get(f"/events/api/v1/app/ttd/{follower.app}?{query}")
    except httpx.TransportError:
        return None
    if response.status_code == 503:
        return None
    assert response.status_code == 200, response.text
    return response


def _uneven(rng: random.Random, maximum: int) -> int:
    """A random number from 1 to `maximum`; every order of magnitude is equally likely."""
    return max(1, min(maximum, round(math.exp(rng.uniform(0, math.log(maximum + 1))))))
