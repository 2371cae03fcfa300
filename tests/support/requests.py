"""Requests without a server."""

from collections.abc import Sequence

from litestar.testing import RequestFactory

from eventfeed.http.request import HttpRequest


def http_request(path: str = "/", *, headers: Sequence[tuple[str, str]] = ()) -> HttpRequest:
    """A GET request with these headers after the usual ones."""
    scope = RequestFactory().get(path).scope
    scope["headers"] = [
        *scope["headers"],
        *((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers),
    ]
    return HttpRequest(scope)
