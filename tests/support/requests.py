"""Requests without a server."""

from collections.abc import Sequence

from litestar.connection.base import empty_receive
from litestar.testing import RequestFactory
from litestar.types import Receive

from eventfeed.http.request import HttpRequest


def http_request(
    path: str = "/", *, headers: Sequence[tuple[str, str]] = (), receive: Receive = empty_receive
) -> HttpRequest:
    """A GET request with these headers after the usual ones. `receive` returns its messages."""
    scope = RequestFactory().get(path).scope
    scope["headers"] = [
        *scope["headers"],
        *((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers),
    ]
    return HttpRequest(scope, receive)
