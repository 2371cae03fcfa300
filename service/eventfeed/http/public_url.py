"""The address that links begin with, and the address of the client."""

import functools
import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from eventfeed.http.request import HttpRequest
from eventfeed.network import is_loopback

# The smallest network that a provider assigns to one customer.
_IPV6_NETWORK_BITS = 64


class PublicUrl:
    """The service's address: the public URL if there is one, else a loopback address, which the client may choose."""

    def __init__(self, *, public_url: str, own_url: str, client_header: str = "") -> None:
        self._public, self._own = public_url.rstrip("/"), own_url
        self._client_header = client_header
        # Scheme, host and path prefix for a Host header, without a slash at the end.
        self.base: Callable[[str], str] = functools.lru_cache(maxsize=256)(self._base)

    def _base(self, host: str) -> str:
        if self._public:
            return self._public
        return f"http://{host}" if is_local(host) else self._own

    def client_address(self, request: HttpRequest) -> str:
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


def is_local(host: str) -> bool:
    """True if a Host header names a loopback address."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.netloc == host and "@" not in host and parts.port != 0 and is_loopback(parts.hostname or "")
    except ValueError:
        return False
