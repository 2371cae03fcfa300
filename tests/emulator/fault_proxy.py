"""A bad network: stands between a client and the emulator, and does to each request what its dice say.

`python -m tests.emulator.fault_proxy URL --seed N --rate R` prints the address it listens on, and ends when its
standard input does.
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import enum
import json
import random
import re
import sys
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
DELAY_SECONDS_MAX = 0.2
_CREATED = re.compile(rb'"sequence": ?([0-9]+)')
# A query for entries, and where a replica that lacks the newest ones would see less.
_ENTRIES = b" FROM c WHERE c.segment"
BEHIND_ENTRIES_MAX = 5


class Fault(enum.Enum):
    """What may happen to a request."""

    DELAY = enum.auto()
    ANSWER_LOST = enum.auto()  # done, but nobody is told
    RESET = enum.auto()  # not done, and nobody is told
    THROTTLED = enum.auto()  # 429
    RETRY_WITH = enum.auto()  # 449
    UNAVAILABLE = enum.auto()  # 503, not done
    UNAVAILABLE_BUT_DONE = enum.auto()  # 503, done
    SLOW_BODY = enum.auto()
    BEHIND = enum.auto()  # a query, answered by a replica that lacks the newest entries


# An answer that is lost is the worst that can happen, so it is half of all that does.
FAULTS = [*Fault, *[Fault.ANSWER_LOST] * (len(Fault) - 2)]
_REFUSALS = {
    Fault.THROTTLED: (b"429 Too Many Requests", b"x-ms-retry-after-ms: 20\r\n"),
    Fault.RETRY_WITH: (b"449 Retry With", b""),
    Fault.UNAVAILABLE: (b"503 Service Unavailable", b""),
    Fault.UNAVAILABLE_BUT_DONE: (b"503 Service Unavailable", b""),
}


@dataclasses.dataclass
class Network:
    """Where requests go, how often something happens to one, what happens to the `next` ones, and what has."""

    host: str
    port: int
    rate: float
    rng: random.Random
    happened: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    next: list[Fault | None] = dataclasses.field(default_factory=list)
    newest: int = 0
    serving: set[asyncio.Task[None]] = dataclasses.field(default_factory=set)

    def fault(self) -> Fault | None:
        """What happens to the next request."""
        by_chance = self.rng.choice(FAULTS) if self.rng.random() < self.rate else None
        fault = self.next.pop(0) if self.next else by_chance
        self.happened[fault.name if fault else "NONE"] += 1
        return fault

    def asked(self, request: bytes) -> None:
        """A request has come, whatever will happen to it."""

    def answered(self, request: bytes, answer: bytes) -> bytes:  # noqa: ARG002  # of those that change answers
        """The answer to a request, as the client gets it."""
        return answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, and one of ours behind it."""
        behind, task = None, asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            behind = await asyncio.open_connection(self.host, self.port)
            while (request := await _message(reader)) is not None and await self._pass(request, behind, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # somebody hung up: that is what networks do
        finally:
            for each in (writer, *(behind[1:] if behind else ())):
                each.close()
                with contextlib.suppress(ConnectionError):
                    await each.wait_closed()
            self.serving.discard(task)

    async def _pass(
        self,
        request: bytes,
        behind: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Pass a request on and its answer back, as far as its fault lets; whether the connection lives."""
        self.asked(request)
        fault = self.fault()
        if fault is Fault.RESET:
            return False
        if fault in (Fault.THROTTLED, Fault.RETRY_WITH, Fault.UNAVAILABLE):
            return await _send(writer, _refusal(fault))
        if fault is Fault.DELAY:
            await asyncio.sleep(self.rng.random() * DELAY_SECONDS_MAX)
        self.newest = max([self.newest, *(int(each) for each in _CREATED.findall(request))])
        if fault is Fault.BEHIND:
            request = _as_of(request, self.newest - self.rng.randint(1, BEHIND_ENTRIES_MAX))
        behind[1].write(request)
        await behind[1].drain()
        answer = await _message(behind[0])
        if answer is None or fault is Fault.ANSWER_LOST:
            return False
        answer = self.answered(request, answer)
        if fault is Fault.UNAVAILABLE_BUT_DONE:
            return await _send(writer, _refusal(fault))
        if fault is Fault.SLOW_BODY:
            await _send(writer, answer[: len(answer) // 2])
            await asyncio.sleep(self.rng.random() * DELAY_SECONDS_MAX)
            answer = answer[len(answer) // 2 :]
        return await _send(writer, answer)


async def _send(writer: asyncio.StreamWriter, message: bytes) -> bool:
    writer.write(message)
    await writer.drain()
    return True


async def _message(reader: asyncio.StreamReader) -> bytes | None:
    """A whole request or answer; None when the other side is done."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    if _CHUNKED.search(head):
        return head + await _chunks(reader)
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        body += line + await reader.readexactly(size + 2)
        if size == 0:
            return body


def _as_of(request: bytes, position: int) -> bytes:
    """The same query, if it is one for entries, of a replica that has them up to a position."""
    head, _, body = request.partition(b"\r\n\r\n")
    if _ENTRIES not in body:
        return request
    body = body.replace(_ENTRIES, b" FROM c WHERE c.sequence <= %d AND c.segment" % position)
    head = _LENGTH.sub(b"\r\nContent-Length: %d\r\n" % len(body), head + b"\r\n")
    return head + b"\r\n" + body


def _refusal(fault: Fault) -> bytes:
    status, headers = _REFUSALS[fault]
    body = b'{"code":"%b","message":"the network says so"}' % status.partition(b" ")[0]
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n" % (
        status,
        len(body),
        headers,
    )
    return head + body


def network_to(url: str, *, seed: str = "1", rate: float = 0.0) -> Network:
    """A network to this address; at rate 0 nothing happens in it but counting."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return Network(parts.hostname, parts.port, rate, random.Random(seed))


async def _run(url: str, *, seed: str, rate: float) -> None:
    network = network_to(url, seed=seed, rate=rate)
    server = await asyncio.start_server(network.serve, "127.0.0.1", 0, limit=2**26)
    print(f"READY {server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(network.happened), flush=True)
    server.close()


def main() -> None:
    """Stand between until standard input ends; then tell what happened."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--seed", default="1")
    arguments.add_argument("--rate", type=float, default=0.5)
    chosen = arguments.parse_args()
    asyncio.run(_run(chosen.url, seed=chosen.seed, rate=chosen.rate))


if __name__ == "__main__":
    main()
