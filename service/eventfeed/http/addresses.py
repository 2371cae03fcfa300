"""Where consumers find the service: the start of every absolute link."""

from urllib.parse import urlsplit

from litestar import Request
from litestar.datastructures import State

from eventfeed.settings import loopback

AnyRequest = Request[None, None, State]


class Addresses:
    """Builds on the public URL when there is one; else the service is on loopback, and believes a loopback host."""

    def __init__(self, *, public_url: str, own_url: str) -> None:
        self._public, self._own = public_url.rstrip("/"), own_url

    def base(self, request: AnyRequest) -> str:
        """Scheme, host and path prefix, without a trailing slash."""
        if self._public:
            return self._public
        host = request.headers.get("host", "")
        return f"http://{host}" if local(host) else self._own


def local(host: str) -> bool:
    """Whether a Host header names this machine alone."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.netloc == host and "@" not in host and parts.port != 0 and loopback(parts.hostname or "")
    except ValueError:
        return False
