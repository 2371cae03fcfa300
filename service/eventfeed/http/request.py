"""Requests: their headers, the address that links begin with, and the address of the client."""

import functools
import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from litestar import Request
from litestar.datastructures import State

from eventfeed.network import is_loopback

AnyRequest = Request[None, None, State]
# The first value of each header, by its name in lower case.
Headers = Mapping[str, str]

_HEADERS = "eventfeed.headers"
# The smallest network that a provider assigns to one customer.
_IPV6_NETWORK_BITS = 64


def headers_of(request: AnyRequest) -> Headers:
    """Return the headers of a request, decoded once."""
    scope: dict[str, Any] = request.scope  # type: ignore[assignment]  # an application may keep values in it
    headers: Headers | None = scope.get(_HEADERS)
    if headers is None:
        fields = reversed(scope["headers"])
        headers = scope[_HEADERS] = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
    return headers


class PublicUrl:
    """The service's address: the public URL if there is one, else a loopback address, which the client may choose."""

    def __init__(self, *, public_url: str, own_url: str, client_header: str = "") -> None:
        self._public, self._own = public_url.rstrip("/"), own_url
        self._client_header = client_header

    def base(self, request: AnyRequest) -> str:
        """Return scheme, host and path prefix, without a slash at the end."""
        if self._public:
            return self._public
        host = headers_of(request).get("host", "")
        return f"http://{host}" if is_local(host) else self._own

    def client_address(self, request: AnyRequest) -> str:
        """Return the address that a request comes from: the connection's, or the one that a trusted gateway reports.

        A gateway appends to the header, so its last address counts. An IPv6 network counts as one client.
        """
        if self._client_header:
            text = "".join(request.headers.getall(self._client_header, [])[-1:]).rpartition(",")[2].strip()
            text = _without_port(text)
        else:
            text = request.client.host if request.client else ""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return "unknown"
        if isinstance(address, ipaddress.IPv6Address):
            return str(address.ipv4_mapped or ipaddress.ip_network((address, _IPV6_NETWORK_BITS), strict=False))
        return str(address)


def _without_port(text: str) -> str:
    """Return the address alone: some gateways add the port, and brackets around an IPv6 address."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    address, _, port = text.partition(":")
    return address if port.isdigit() else text


@functools.lru_cache(maxsize=256)
def is_local(host: str) -> bool:
    """True if a Host header names a loopback address."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.netloc == host and "@" not in host and parts.port != 0 and is_loopback(parts.hostname or "")
    except ValueError:
        return False
