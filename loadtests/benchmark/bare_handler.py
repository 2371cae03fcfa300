"""What a page is measured against: handlers that do nothing but send its bytes."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from litestar import Litestar, Response, get
from litestar.handlers import HTTPRouteHandler

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def create(lifespan: Sequence[Lifespan] = ()) -> Litestar:
    """An application with each file of the folder `BARE_FOLDER` at its name."""
    files = sorted(Path(os.environ["BARE_FOLDER"]).iterdir())
    routes = [_bare(f"/{file.name}", file.read_bytes()) for file in files]
    return Litestar(route_handlers=routes, lifespan=lifespan, openapi_config=None, logging_config=None)


def _bare(path: str, body: bytes) -> HTTPRouteHandler:
    @get(path)
    async def bare() -> Response[bytes]:
        return Response(body, media_type="application/cloudevents-batch+json")

    return bare
