"""Bare handlers to compare the service with: they send its bytes, or write the bodies of requests, and no more."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import apsw
from litestar import Litestar, Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from loadtests.benchmark.raw_log import RawLog

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def create(lifespan: Sequence[Lifespan] = ()) -> Litestar:
    """Create an application that sends each file of the folder `BARE_FOLDER` at `/` and its name.

    With `BARE_STORE` a file is the response to a POST, after its body is durable in a log with the tables of that
    store, which begins with `BARE_ROWS` rows.
    """
    folder = Path(os.environ["BARE_FOLDER"])
    files = {f"/{file.name}": file.read_bytes() for file in sorted(folder.iterdir())}
    if store := os.environ.get("BARE_STORE"):
        writer = _Writer(Path(store), int(os.environ["BARE_ROWS"]))
        routes, lifespan = [_write_route(*each, writer) for each in files.items()], [*lifespan, writer.running]
    else:
        routes = [_route(*each) for each in files.items()]
    return Litestar(route_handlers=routes, lifespan=lifespan, openapi_config=None, logging_config=None)


def _route(path: str, body: bytes) -> HTTPRouteHandler:
    @get(path)
    async def send() -> Response[bytes]:
        return Response(body, media_type="application/cloudevents-batch+json")

    return send


def _write_route(path: str, body: bytes, writer: "_Writer") -> HTTPRouteHandler:
    @post(path, status_code=201)
    async def write(request: Request[Any, Any, Any]) -> Response[bytes]:
        await writer.write(await request.body())
        return Response(body, media_type="application/json")

    return write


class _Writer:
    """Writes the bodies that arrive during one batch as the next batch, in a thread."""

    def __init__(self, store: Path, rows: int) -> None:
        self._store, self._rows = store, rows
        self._queue: list[tuple[bytes, asyncio.Future[None]]] = []
        self._is_filled = asyncio.Event()

    async def write(self, body: bytes) -> None:
        durable = asyncio.get_running_loop().create_future()
        self._queue.append((body, durable))
        self._is_filled.set()
        await durable

    @contextlib.asynccontextmanager
    async def running(self, _: Litestar) -> AsyncIterator[None]:
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.closing(RawLog(Path(folder) / "raw.db", like=self._store)) as raw,
            ThreadPoolExecutor(1) as thread,
        ):
            raw.fill(self._rows)
            task = asyncio.create_task(self._run(raw, thread))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _run(self, raw: RawLog, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._is_filled.wait()
            self._is_filled.clear()
            batch, self._queue = self._queue, []
            try:
                await loop.run_in_executor(thread, raw.append, [body for body, _ in batch])
            except apsw.Error as failure:
                error: Exception | None = failure
            else:
                error = None
            for _, durable in batch:
                if durable.done():
                    continue
                if error:
                    durable.set_exception(error)
                else:
                    durable.set_result(None)
