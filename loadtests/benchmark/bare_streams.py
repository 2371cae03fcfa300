"""A bare ASGI application to compare streams with: a POST to it is one message for every open stream, and no more."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class BareStreams:
    """Each stream waits for the next message, which names the one after it: no stream misses any."""

    def __init__(self) -> None:
        self._next: asyncio.Future[Any] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Respond to one request. A GET has no end."""
        if scope["type"] != "http":
            return
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if scope["method"] == "POST":
            await self._publish(receive)
            await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif scope["path"] == "/health/ready":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._stream(send, self._next)

    async def _publish(self, receive: Receive) -> None:
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part["body"], part["more_body"]
        current, self._next = self._next, asyncio.get_running_loop().create_future()
        if current is not None:
            current.set_result((b"id: 0\ndata: %b\n\n" % body, self._next))

    @staticmethod
    async def _stream(send: Send, following: asyncio.Future[Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
        while True:
            text, following = await following
            await send({"type": "http.response.body", "body": text, "more_body": True})


def create() -> BareStreams:
    """Create the application."""
    return BareStreams()
