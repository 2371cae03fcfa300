"""A proxy between a client and the emulator that injects faults into random requests.

`python -m tests.emulator.fault_proxy URL --seed N --rate R --rules JSON` prints the port on which it listens, and ends
with its standard input. With rules it also plays what the store does and the emulator does not.
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import enum
import functools
import json
import random
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from tests.emulator.messages import Request, Response, Rule, Send, read_message
from tests.emulator.rules.azure import Azure, Settings

DELAY_SECONDS_MAX = 0.2


class Fault(enum.Enum):
    """A fault of one request."""

    DELAY = enum.auto()
    RESPONSE_LOST = enum.auto()  # the connection is closed after the store has done the request
    RESET = enum.auto()  # the connection is closed before that
    TOO_MANY_REQUESTS = enum.auto()  # 429, not done
    RETRY_WITH = enum.auto()  # 449, not done
    UNAVAILABLE = enum.auto()  # 503, not done
    UNAVAILABLE_BUT_DONE = enum.auto()  # 503, done
    SLOW_BODY = enum.auto()
    STALE_REPLICA = enum.auto()  # 404/1002, not done: a replica that lacks what the session has seen


# A lost response is the hardest fault, so it is four of five.
FAULTS = [*Fault, *[Fault.RESPONSE_LOST] * (4 * (len(Fault) - 1) - 1)]
_ERROR_RESPONSES = {
    Fault.TOO_MANY_REQUESTS: (b"429 Too Many Requests", b"x-ms-retry-after-ms: 20\r\n"),
    Fault.RETRY_WITH: (b"449 Retry With", b""),
    Fault.STALE_REPLICA: (b"404 Not Found", b"x-ms-substatus: 1002\r\n"),
    Fault.UNAVAILABLE: (b"503 Service Unavailable", b""),
    Fault.UNAVAILABLE_BUT_DONE: (b"503 Service Unavailable", b""),
}


@dataclasses.dataclass
class Network:
    """A network to `host` and `port`.

    `next` has the faults of the next requests; after those, a share `rate` of requests has a random fault. `rules` has
    Azure's rules, the outermost first. `requests` counts requests by fault, `statuses` responses by status, and `ports`
    requests by the port of the proxy. `connections` has the tasks that serve clients.
    """

    host: str
    port: int
    rate: float
    rng: random.Random
    requests: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    next: list[Fault | None] = dataclasses.field(default_factory=list)
    rules: Sequence[Rule] = ()
    statuses: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    ports: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    connections: set[asyncio.Task[None]] = dataclasses.field(default_factory=set)

    def choose_fault(self) -> Fault | None:
        """Choose the fault of the next request, and count it."""
        random_fault = self.rng.choice(FAULTS) if self.rng.random() < self.rate else None
        fault = self.next.pop(0) if self.next else random_fault
        self.requests[fault.name if fault else "NONE"] += 1
        return fault

    def on_request(self, request: bytes) -> None:
        """Observe a request, before its fault."""

    def on_response(self, request: bytes, response: bytes) -> bytes:  # noqa: ARG002  # for networks that change it
        """Return the response to a request, as the client gets it."""
        return response

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client's connection through one to the emulator."""
        upstream, task = None, asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        try:
            upstream = await asyncio.open_connection(self.host, self.port)
            while (request := await read_message(reader)) and await self._forward(request, upstream, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # one side has closed its connection
        finally:
            for each in (writer, *(upstream[1:] if upstream else ())):
                each.close()
                with contextlib.suppress(ConnectionError):
                    await each.wait_closed()
            self.connections.discard(task)

    async def _forward(
        self,
        request: bytes,
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Forward a request and its response, with a fault. Return True if the connection stays open."""
        self.on_request(request)
        self.ports[writer.get_extra_info("sockname")[1]] += 1
        fault = self.choose_fault()
        if fault is Fault.RESET:
            return False
        if fault in (Fault.TOO_MANY_REQUESTS, Fault.RETRY_WITH, Fault.STALE_REPLICA, Fault.UNAVAILABLE):
            return await _send(writer, _error_response(fault))
        if fault is Fault.DELAY:
            await asyncio.sleep(self.rng.random() * DELAY_SECONDS_MAX)
        response = await self._execute(request, upstream)
        self.statuses[int(response[9:12]) if response else 0] += 1
        if response is None or fault is Fault.RESPONSE_LOST:
            return False
        response = self.on_response(request, response)
        if fault is Fault.UNAVAILABLE_BUT_DONE:
            return await _send(writer, _error_response(fault))
        if fault is Fault.SLOW_BODY:
            await _send(writer, response[: len(response) // 2])
            await asyncio.sleep(self.rng.random() * DELAY_SECONDS_MAX)
            response = response[len(response) // 2 :]
        return await _send(writer, response)

    async def _execute(
        self, request: bytes, upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> bytes | None:
        """Return the emulator's response, by the rules; None if it has closed the connection."""
        if not self.rules:
            await _send(upstream[1], request)
            return await read_message(upstream[0])

        async def send(message: Request) -> Response:
            await _send(upstream[1], message.encode())
            response = await read_message(upstream[0])
            if response is None:
                raise ConnectionResetError
            return Response.parse(response)

        apply: Send = send
        for rule in reversed(self.rules):
            apply = functools.partial(_apply, rule, apply)
        return (await apply(Request.parse(request))).encode()


async def _apply(rule: Rule, send: Send, request: Request) -> Response:
    return await rule(request, send)


async def _send(writer: asyncio.StreamWriter, message: bytes) -> bool:
    writer.write(message)
    await writer.drain()
    return True


def _error_response(fault: Fault) -> bytes:
    status, headers = _ERROR_RESPONSES[fault]
    body = b'{"code":"%b","message":"a fault of the test network"}' % status.partition(b" ")[0]
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n" % (
        status,
        len(body),
        headers,
    )
    return head + body


def network_to(url: str, *, seed: str = "1", rate: float = 0.0) -> Network:
    """Return a network to this URL. At rate 0 it only counts requests."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return Network(parts.hostname, parts.port, rate, random.Random(seed))


async def _run(network: Network, *, ports: int) -> None:
    """Serve the network on some ports. At the end of standard input, print its counts."""
    servers = [await asyncio.start_server(network.serve, "127.0.0.1", 0, limit=2**26) for _ in range(ports)]
    print("READY", *(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    counts = [network.ports[server.sockets[0].getsockname()[1]] for server in servers]
    print(json.dumps({"faults": network.requests, "statuses": network.statuses, "ports": counts}), flush=True)
    for server in servers:
        server.close()


def main() -> None:
    """Run the proxy until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--ports", type=int, default=1, help="the number of ports, to count requests of each")
    parser.add_argument("--rules", help="the settings of Azure's rules, as JSON; without it there are none")
    arguments = parser.parse_args()
    network = network_to(arguments.url, seed=arguments.seed, rate=arguments.rate)
    if arguments.rules is not None:
        network.rules = Azure(msgspec.json.decode(arguments.rules, type=Settings)).rules
    asyncio.run(_run(network, ports=arguments.ports))


if __name__ == "__main__":
    main()
