"""Bodies in parts: their order, their memory, and clients that stop reading."""

import asyncio
import gzip
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from eventfeed.domain.errors import Unavailable
from eventfeed.http import sending as module
from eventfeed.http.sending import PART_BYTES, LargeResponse
from tests.support.slow_client import SlowClient

BODY = bytes(range(256)) * 1_000
# The first part that is made. Parts of the response have no more bytes than `PART_BYTES`.
LONG = 3 * PART_BYTES + 7


class RecordedMemory:
    """Memory that records what responses hold."""

    def __init__(self, *, bytes_max: int = 1 << 30) -> None:
        self.sizes, self.used, self._bytes_max = list[int](), 0, bytes_max

    def hold(self, size: int) -> AbstractContextManager[None]:
        """See `ReadingLimits.memory`."""
        if size > self._bytes_max:
            raise Unavailable("no memory")
        return self._hold(size)

    @contextmanager
    def _hold(self, size: int) -> Iterator[None]:
        self.sizes.append(size)
        self.used += size
        yield
        self.used -= size


class Client(SlowClient):
    """A slow client that notes what responses hold at each message, and at the reset."""

    def __init__(self, memory: RecordedMemory, *, messages_max: int = 10**9) -> None:
        super().__init__(messages_max=messages_max)
        self.used, self.used_at_reset, self._memory = list[int](), -1, memory

    async def send(self, message: Any) -> None:
        """See `SlowClient.send`."""
        count = len(self.messages)
        await super().send(message)
        if len(self.messages) > count:
            self.used.append(self._memory.used)

    async def reset(self, scope: Any) -> None:
        """See `SlowClient.reset`."""
        assert {"type": "http"} == scope
        self.used_at_reset = self._memory.used
        await super().reset(scope)


async def send_page(memory: RecordedMemory, client: Client, *, compresses: bool = False) -> None:
    """Send a large page to a client."""
    headers, parts = [(b"feed-more", b"false")], [BODY[:LONG], BODY[LONG : LONG + 1], BODY[LONG + 1 :]]
    response: Any = LargeResponse(headers, parts, memory=memory.hold, reset=client.reset, compresses=compresses)
    await response.to_asgi_response()({"type": "http"}, None, client.send)


async def test_large_page_is_sent_in_parts() -> None:
    """The whole body is held until the last part, and freed then."""
    memory = RecordedMemory()
    client = Client(memory)
    await send_page(memory, client)
    start, *parts = client.messages

    assert BODY == client.body
    assert max(len(part["body"]) for part in parts) == PART_BYTES
    assert [True] * (len(parts) - 1) + [False] == [part["more_body"] for part in parts]
    assert (b"content-length", b"%d" % len(BODY)) in start["headers"]
    assert {len(BODY)} == {*client.used[:-1]}
    assert 0 == memory.used


async def test_compressed_page_holds_its_compressed_bytes_while_it_is_sent() -> None:
    """Before, it holds the whole page."""
    memory = RecordedMemory()
    client = Client(memory)
    await send_page(memory, client, compresses=True)

    assert gzip.decompress(client.body) == BODY
    assert [len(BODY), len(client.body)] == memory.sizes


async def test_page_without_memory_is_refused_before_its_first_byte() -> None:
    """The problem is a response like any other."""
    memory = RecordedMemory(bytes_max=100)
    client = Client(memory)
    with pytest.raises(Unavailable):
        await send_page(memory, client)

    assert [] == client.messages


async def test_client_that_takes_no_part_loses_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is reset. The page counts until it is gone, and the memory is free afterwards."""
    monkeypatch.setattr(module, "SEND_SECONDS_MAX", 0.05)
    memory = RecordedMemory()
    client = Client(memory, messages_max=3)
    await asyncio.wait_for(send_page(memory, client), 120)

    assert (3, len(BODY), 0) == (len(client.messages), client.used_at_reset, memory.used)


async def test_reset_without_effect_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass over the files may fail, and the client still takes nothing."""
    monkeypatch.setattr(module, "SEND_SECONDS_MAX", 0.01)
    memory, resets = RecordedMemory(), list[int]()
    client = Client(memory, messages_max=3)
    effective = client.reset

    async def reset(scope: Any) -> None:
        resets.append(memory.used)
        if len(resets) == 3:
            await effective(scope)

    monkeypatch.setattr(client, "reset", reset)
    await asyncio.wait_for(send_page(memory, client), 120)

    assert [len(BODY)] * 3 == resets[:3]
    assert 0 == memory.used


async def test_client_that_does_not_take_the_end_loses_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a body waits like any other part."""
    monkeypatch.setattr(module, "SEND_SECONDS_MAX", 0.05)
    memory = RecordedMemory()
    sizes = [LONG, 1, len(BODY) - LONG - 1]
    client = Client(memory, messages_max=1 + sum(-(-size // PART_BYTES) for size in sizes))
    await asyncio.wait_for(send_page(memory, client), 120)

    assert (BODY, len(BODY), 0) == (client.body, client.used_at_reset, memory.used)
