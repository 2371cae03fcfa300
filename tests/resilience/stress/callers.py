"""The callers of the storm: publishers that repeat until they have receipts, followers that note what they see."""

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
from tests.support.service import bearer

APPS = ("storm-a", "storm-b")
TYPES = ("instance.created", "instance.process.completed", "instance.feedback")
# The service is being killed meanwhile: a caller that gives up sooner would prove nothing.
TROUBLE_SECONDS_MAX = 60.0
PAUSE_SECONDS = 0.05


class Seen(NamedTuple):
    """An event at its place, as a receipt or a page tells."""

    sequence: int
    id: str


class Follower(NamedTuple):
    """What a follower follows: an app, and types or all of them."""

    app: str
    types: tuple[str, ...]

    def wants(self, id_: str) -> bool:
        """Whether an event with this id is in its feed: the id tells app and type."""
        app, type_, _ = id_.split(":")
        return APPS[int(app)] == self.app and (not self.types or TYPES[int(type_)] in self.types)


def publish(url: str, token: str, first: int, numbers: Sequence[int]) -> list[Seen]:
    """Publish a share of events, with four publishers at once; the receipts."""

    async def all_at_once() -> list[Seen]:
        async with httpx.AsyncClient(base_url=url, headers=bearer(token), timeout=20) as client:
            shares = [numbers[start::4] for start in range(4)]
            work = [_publish(client, share, random.Random(f"{first} {place}")) for place, share in enumerate(shares)]
            done = await asyncio.gather(*work)
        return [each for receipts in done for each in receipts]

    return asyncio.run(all_at_once())


async def _publish(client: httpx.AsyncClient, numbers: Sequence[int], rng: random.Random) -> list[Seen]:
    seen, place = list[Seen](), 0
    while place < len(numbers):
        batch = [_event(number, rng) for number in numbers[place : place + _uneven(rng, 100)]]
        place += len(batch)
        receipts = await _until_answered(client, batch)
        seen += [Seen(int(str(receipt["sequence"])), str(receipt["id"])) for receipt in receipts]
        if rng.random() < 0.05:  # a publisher that never got its answer repeats itself
            again = await _until_answered(client, batch)
            assert [receipt["sequence"] for receipt in again] == [receipt["sequence"] for receipt in receipts]
    return seen


async def _until_answered(client: httpx.AsyncClient, batch: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Publish a batch again and again until it has receipts."""
    deadline = time.monotonic() + TROUBLE_SECONDS_MAX
    while True:
        try:
            answer = await client.post("/events/api/v1/app", json=batch)
            if answer.status_code == 201:
                receipts: list[dict[str, object]] = answer.json()
                return receipts
            assert answer.status_code == 503, answer.text
        except httpx.TransportError:
            pass  # its worker was killed; whether the batch is in, the repeat tells
        assert time.monotonic() < deadline, "the service did not come back"
        await asyncio.sleep(PAUSE_SECONDS)


def _event(number: int, rng: random.Random) -> Mapping[str, object]:
    app, type_ = rng.randrange(len(APPS)), rng.randrange(len(TYPES))
    return {
        "id": f"{app}:{type_}:{number}",
        "source": f"https://ttd.apps.example.no/ttd/{APPS[app]}/instances/50000001/{guid(number)}",
        "specversion": "1.0",
        "type": TYPES[type_],
        "subject": "/party/50000001",
        "data": "x" * rng.randrange(300),
    }


def follow(url: str, token: str, follower: Follower, ended: Path) -> list[Seen]:
    """Follow a feed from its beginning, in pages of 1 to 1000, until the log has ended and is read to its end.

    `ended` is a file that appears with the last sequence in it. Raises `AssertionError` when an order is wrong.
    """
    rng, seen, cursor = random.Random(repr(follower)), list[Seen](), "0"
    deadline = time.monotonic() + TROUBLE_SECONDS_MAX
    with httpx.Client(base_url=url, headers=bearer(token), timeout=20) as client:
        while not (ended.exists() and cursor.partition(".")[2] == ended.read_text()):
            size = _uneven(rng, 1000)
            query = urlencode([("after", cursor), ("size", size), *(("eventType", each) for each in follower.types)])
            try:
                answer = client.get(f"/events/api/v1/app/ttd/{follower.app}?{query}")
            except httpx.TransportError:
                answer = None
            if answer is None or answer.status_code == 503:
                assert time.monotonic() < deadline, "the service did not come back"
                time.sleep(PAUSE_SECONDS)
                continue
            assert answer.status_code == 200, answer.text
            deadline = time.monotonic() + TROUBLE_SECONDS_MAX
            page = [Seen(int(event["sequence"]), event["id"]) for event in answer.json()]
            assert len(page) <= size, "a page over its size"
            assert all(one.sequence < other.sequence for one, other in pairwise([*seen[-1:], *page])), "out of order"
            seen += page
            cursor = answer.headers["feed-cursor"]
            if answer.headers["feed-more"] == "false":
                time.sleep(PAUSE_SECONDS)
    return seen


def _uneven(rng: random.Random, most: int) -> int:
    """A number from 1 to `most`, small ones as often as large ones by their magnitude."""
    return max(1, min(most, round(math.exp(rng.uniform(0, math.log(most + 1))))))
