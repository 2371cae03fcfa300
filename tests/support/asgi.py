"""Requests to an ASGI application in this process, as a server would pass them on, without a client's own checks."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

HOST = (b"host", b"127.0.0.1:8080")
# Longer than any answer: what needs more hangs.
ANSWER_SECONDS_MAX = 60.0

HeaderLines = Sequence[tuple[bytes, bytes]]


class AsgiRequest(NamedTuple):
    """A request: its target without decoding, its header lines with names in lower case, and the parts of its body."""

    method: str
    path: bytes
    query: bytes = b""
    headers: HeaderLines = (HOST,)
    parts: Sequence[bytes] = ()

    def scope(self) -> dict[str, Any]:
        """The request as an ASGI scope."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": unquote(self.path.decode("latin-1"), errors="replace"),
            "raw_path": self.path,
            "query_string": self.query,
            "root_path": "",
            "headers": list(self.headers),
            "server": ("127.0.0.1", 8080),
            "client": ("127.0.0.1", 40000),
            "state": {},
            "extensions": {},
        }


class AsgiResponse(NamedTuple):
    """A response, and the parts of the request's body that the application has not read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    unread: Sequence[bytes]


async def send_request(application: Any, request: AsgiRequest) -> AsgiResponse:
    """Return the response. After the body, the client stays connected until the response is complete."""
    parts, messages, is_complete = list(request.parts) or [b""], list[Any](), asyncio.Event()

    async def receive() -> dict[str, Any]:
        if parts:
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}
        await is_complete.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        messages.append(message)
        is_end = message["type"] == "http.response.body" and not message.get("more_body", False)
        if is_end or any(value.startswith(b"text/event-stream") for _, value in message.get("headers", ())):
            is_complete.set()  # the client of a stream leaves at its start

    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        await application(request.scope(), receive, send)
    start, *chunks = messages
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
    return AsgiResponse(start["status"], headers, b"".join(chunk.get("body", b"") for chunk in chunks), parts)
