"""A TCP connection that breaks when told to."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


class Severing:
    """Stands between callers and a service; `cut` breaks every connection there is, wherever in an answer it is."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._behind = parts.hostname, parts.port
        self._loop = asyncio.new_event_loop()
        self._writers = set[asyncio.StreamWriter]()
        self._serving = set[asyncio.Task[None]]()
        self.url = ""
        self.cuts = 0

    def cut(self, *, within: float = 0.0) -> None:
        """Break all connections; where there is none, the next one that comes in so many seconds."""
        asyncio.run_coroutine_threadsafe(self._cut(within), self._loop).result()

    async def _cut(self, within: float) -> None:
        deadline = self._loop.time() + within
        while not self._writers and self._loop.time() < deadline:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.005)
        self.cuts += bool(self._writers)
        self._abort()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            behind = await asyncio.open_connection(*self._behind)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, behind[1]}
        self._writers |= pair
        await asyncio.gather(_pass(reader, behind[1]), _pass(behind[0], writer))
        self._writers -= pair

    async def _run(self, ready: threading.Event, ended: asyncio.Event) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await ended.wait()
        server.close()
        self._abort()
        await asyncio.gather(*self._serving)

    @contextmanager
    def running(self) -> Iterator["Severing"]:
        """In a thread of its own while the block lasts."""
        ready, ended = threading.Event(), asyncio.Event()
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(ready, ended),))
        thread.start()
        ready.wait()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(ended.set)
            thread.join()
            self._loop.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(2**14):
            writer.write(chunk)
            await writer.drain()
    writer.transport.abort()
