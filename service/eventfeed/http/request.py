"""Where consumers find the service, the start of every absolute link; and where they come from."""

import functools
import ipaddress
from typing import Any
from urllib.parse import urlsplit

from litestar import Request
from litestar.datastructures import State

from eventfeed.settings import loopback

AnyRequest = Request[None, None, State]

_FIRST_HEADERS = "eventfeed.headers"

# The smallest network that a provider gives one customer.
_IPV6_NETWORK_BITS = 64


def header(request: AnyRequest, name: bytes) -> str | None:
    """The first header of this name, in lower case. They are indexed once a request: several are asked for."""
    scope: dict[str, Any] = request.scope  # type: ignore[assignment]  # what an application keeps with a request
    first = scope.get(_FIRST_HEADERS)
    if first is None:
        first = scope[_FIRST_HEADERS] = dict(reversed(scope["headers"]))
    value = first.get(name)
    return None if value is None else value.decode("latin-1")


class PublicUrl:
    """Builds on the public URL when there is one; else the service is on loopback, and believes a loopback host."""

    def __init__(self, *, public_url: str, own_url: str, client_header: str = "") -> None:
        self._public, self._own = public_url.rstrip("/"), own_url
        self._client_header = client_header

    def base(self, request: AnyRequest) -> str:
        """Scheme, host and path prefix, without a trailing slash."""
        if self._public:
            return self._public
        host = header(request, b"host") or ""
        return f"http://{host}" if local(host) else self._own

    def caller(self, request: AnyRequest) -> str:
        """Where a request comes from: the connection's other end, or what a trusted gateway says it is.

        A gateway appends what it saw, so the last address of the last line counts. One network of IPv6 is one caller.
        """
        if self._client_header:
            seen = "".join(request.headers.getall(self._client_header, [])[-1:]).rpartition(",")[2].strip()
            seen = _without_port(seen)
        else:
            seen = request.client.host if request.client else ""
        try:
            address = ipaddress.ip_address(seen)
        except ValueError:
            return "unknown"
        if isinstance(address, ipaddress.IPv6Address):
            return str(address.ipv4_mapped or ipaddress.ip_network((address, _IPV6_NETWORK_BITS), strict=False))
        return str(address)


def _without_port(seen: str) -> str:
    """An address alone: some gateways name the port as well, and IPv6 then in brackets."""
    if seen.startswith("["):
        return seen[1:].partition("]")[0]
    address, _, port = seen.partition(":")
    return address if port.isdigit() else seen


@functools.lru_cache(maxsize=256)
def local(host: str) -> bool:
    """Whether a Host header names this machine alone."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.netloc == host and "@" not in host and parts.port != 0 and loopback(parts.hostname or "")
    except ValueError:
        return False
