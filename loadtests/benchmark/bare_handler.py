"""What a page is measured against: a handler that does nothing but send its bytes."""

import os
from pathlib import Path

from litestar import Litestar, Response, get


def create() -> Litestar:
    """An application with the bytes of `BARE_BODY` at `/`, and nothing at `/empty`."""
    body, media_type = Path(os.environ["BARE_BODY"]).read_bytes(), os.environ["BARE_TYPE"]

    @get("/")
    async def page() -> Response[bytes]:
        return Response(body, media_type=media_type)

    @get("/empty")
    async def empty() -> Response[bytes]:
        return Response(b"", media_type=media_type)

    return Litestar(route_handlers=[page, empty], openapi_config=None, logging_config=None)
