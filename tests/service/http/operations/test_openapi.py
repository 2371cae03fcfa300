"""The files of the page for the OpenAPI document, as any client may request them, also one that reads nothing."""

import asyncio
import gzip
from typing import Any

import pytest
from litestar import Litestar

from eventfeed.http import sending
from eventfeed.http.operations.openapi import schema_routes
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.request import HttpRequest
from eventfeed.http.sending import PART_BYTES
from tests.support.slow_client import SlowClient

SCRIPT = "/schema/assets/swagger-ui-bundle.js"


class Client(SlowClient):
    """A client of the page."""

    async def request(self, path: str, *, accept_encoding: str) -> None:
        """Request a file of the page."""
        public_url = PublicUrl(public_url="", own_url="http://x")
        application: Any = Litestar(
            schema_routes(public_url, reset=self.reset), openapi_config=None, request_class=HttpRequest
        )
        headers = [(b"host", b"x"), (b"accept-encoding", accept_encoding.encode())]
        target = {"path": path, "raw_path": path.encode(), "root_path": "", "query_string": b""}
        ends = {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "scheme": "http", "http_version": "1.1"}
        scope = {"type": "http", "method": "GET", "headers": headers, **target, **ends}
        await application(scope, _no_message, self.send)

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The headers of the response."""
        return dict(self.messages[0]["headers"])


async def _no_message() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def test_large_file_is_sent_in_parts() -> None:
    """Its length and type are known, and a cache may keep it for an hour."""
    client = Client()
    await client.request(SCRIPT, accept_encoding="identity")

    assert max(len(message["body"]) for message in client.messages[1:]) == PART_BYTES
    assert b"%d" % len(client.body) == client.headers[b"content-length"]
    assert (b"text/javascript; charset=utf-8", b"max-age=3600") == (
        client.headers[b"content-type"],
        client.headers[b"cache-control"],
    )


async def test_file_is_compressed_for_a_client_that_accepts_it() -> None:
    """A cache keeps the two forms apart."""
    plain, compressed = Client(), Client()
    await plain.request(SCRIPT, accept_encoding="identity")
    await compressed.request(SCRIPT, accept_encoding="gzip")

    assert plain.body == gzip.decompress(compressed.body)
    assert len(compressed.body) < len(plain.body) / 2
    assert b"gzip" == compressed.headers[b"content-encoding"]
    assert [b"Accept-Encoding"] * 2 == [plain.headers[b"vary"], compressed.headers[b"vary"]]


async def test_client_that_takes_no_part_loses_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server holds a few parts for it, and only for the time that a page may take."""
    monkeypatch.setattr(sending, "SEND_SECONDS_MAX", 0.05)
    client = Client(messages_max=3)
    await asyncio.wait_for(client.request(SCRIPT, accept_encoding="identity"), 120)

    assert 1 == client.resets
