"""A TCP proxy that breaks its connections on demand."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


class BreakingProxy:
    """A proxy between clients and a service. `cut` breaks every open connection, also in the middle of a response."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._upstream = parts.hostname, parts.port
        self._loop = asyncio.new_event_loop()
        self._writers = set[asyncio.StreamWriter]()
        self._connections = set[asyncio.Task[None]]()
        self.url = ""
        self.cuts = 0

    def cut(self, *, within: float = 0.0) -> None:
        """Break all connections. If there is none, break the next one that opens in `within` seconds."""
        asyncio.run_coroutine_threadsafe(self._cut(within), self._loop).result()

    async def _cut(self, within: float) -> None:
        deadline = self._loop.time() + within
        while not self._writers and self._loop.time() < deadline:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.005)
        self.cuts += bool(self._writers)
        self._abort()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, upstream_writer}
        self._writers |= pair
        await asyncio.gather(_copy(reader, upstream_writer), _copy(upstream_reader, writer))
        self._writers -= pair

    async def _run(self, ready: threading.Event, end: asyncio.Event) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await end.wait()
        server.close()
        self._abort()
        await asyncio.gather(*self._connections)

    @contextmanager
    def running(self) -> Iterator["BreakingProxy"]:
        """Run in a thread while the block lasts."""
        ready, end = threading.Event(), asyncio.Event()
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(ready, end),))
        thread.start()
        ready.wait()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(end.set)
            thread.join()
            self._loop.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(2**14):
            writer.write(chunk)
            await writer.drain()
    writer.transport.abort()
