"""What the service is measured against: handlers that send its bytes or write what they are given, and no more."""

import asyncio
import contextlib
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from loadtests.benchmark.raw_log import RawLog

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def create(lifespan: Sequence[Lifespan] = ()) -> Litestar:
    """An application with each file of the folder `BARE_FOLDER` at its name.

    With `BARE_ROWS` a file is the answer to a POST, once its body is durably in a log that begins with so many rows.
    """
    folder = Path(os.environ["BARE_FOLDER"])
    files = {f"/{file.name}": file.read_bytes() for file in sorted(folder.iterdir())}
    if rows := int(os.environ.get("BARE_ROWS", "0")):
        writer = _Writer(rows)
        routes, lifespan = [_writing(*each, writer) for each in files.items()], [*lifespan, writer.running]
    else:
        routes = [_bare(*each) for each in files.items()]
    return Litestar(route_handlers=routes, lifespan=lifespan, openapi_config=None, logging_config=None)


def _bare(path: str, body: bytes) -> HTTPRouteHandler:
    @get(path)
    async def bare() -> Response[bytes]:
        return Response(body, media_type="application/cloudevents-batch+json")

    return bare


def _writing(path: str, body: bytes, writer: "_Writer") -> HTTPRouteHandler:
    @post(path, status_code=201)
    async def writing(request: Request[Any, Any, Any]) -> Response[bytes]:
        await writer.write(await request.body())
        return Response(body, media_type="application/json")

    return writing


class _Writer:
    """Writes what waits in one batch, in a thread, while the next batch grows."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()

    async def write(self, body: bytes) -> None:
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((body, written))
        self._arrived.set()
        await written

    @contextlib.asynccontextmanager
    async def running(self, _: Litestar) -> AsyncIterator[None]:
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.closing(RawLog(Path(folder) / "raw.db")) as raw,
            ThreadPoolExecutor(1) as thread,
        ):
            raw.fill(self._rows)
            writing = asyncio.create_task(self._run(raw, thread))
            try:
                yield
            finally:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)

    async def _run(self, raw: RawLog, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            try:
                await loop.run_in_executor(thread, raw.append, [body for body, _ in batch])
            except sqlite3.Error as failed:
                fault: Exception | None = failed
            else:
                fault = None
            for _, written in batch:
                if written.done():
                    continue
                if fault:
                    written.set_exception(fault)
                else:
                    written.set_result(None)
