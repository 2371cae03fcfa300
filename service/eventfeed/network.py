"""Network addresses, and what the environment says about the network: proxies and certificates.

The variables are those of curl and of Python's libraries. They are read here, since an HTTP library fails on some of
their usual values, such as `NO_PROXY=[::1]`, in its constructor and without the name of the variable.
"""

import ipaddress
import os
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

_DEFAULT_PORTS = {"http": 80, "https": 443}


class EnvironmentVariableError(ValueError):
    """A variable of the environment that cannot be used; the message names it and the fix."""


def is_loopback(host: str) -> bool:
    """True if a host name or address is of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def proxy_of(url: str) -> str | None:
    """Return the proxy for requests to a URL, None if there is none. Raises `EnvironmentVariableError`."""
    parts, proxies = urlsplit(url), getproxies()
    scheme = next((each for each in (parts.scheme, "all") if proxies.get(each)), "")
    if not scheme or is_loopback(parts.hostname or "") or _is_direct(parts.hostname or "", url):
        return None
    proxy = proxies[scheme] if "://" in proxies[scheme] else f"http://{proxies[scheme]}"
    if not _is_http(proxy):
        raise EnvironmentVariableError(
            f"{_variable(f'{scheme}_proxy')}: is not the URL of an HTTP proxy, such as http://proxy.example.no:3128. "
            "Correct it, remove it, or add the host to NO_PROXY."
        )
    return proxy


def certificates() -> ssl.SSLContext | bool:
    """Return the authorities of SSL_CERT_FILE or SSL_CERT_DIR, True for the usual ones.

    Raises `EnvironmentVariableError` if there are none.
    """
    file, directory = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not (file or directory):
        return True
    try:
        if not file and not os.path.isdir(directory or ""):  # noqa: PTH112  # OpenSSL takes any path
            raise FileNotFoundError(2, "No such directory")
        return ssl.create_default_context(cafile=file or None, capath=None if file else directory)
    except OSError as failure:  # of the file, or of its content
        name = "SSL_CERT_FILE" if file else "SSL_CERT_DIR"
        raise EnvironmentVariableError(
            f"{name}={file or directory}: has no certificates that can be read: {failure.strerror}. "
            "Correct or remove it."
        ) from None


def _is_direct(host: str, url: str) -> bool:
    """True if NO_PROXY has the host: by its name or a suffix of it, its address, with a port, or in a network."""
    return proxy_bypass(urlsplit(url).netloc.rpartition("@")[2]) or any(_has(each, host) for each in _exceptions())


def _exceptions() -> Iterator[str]:
    for each in getproxies().get("no", "").split(","):
        yield each.strip().removeprefix("*.").strip("[]")


def _has(exception: str, host: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(exception, strict=False)
    except ValueError:
        return exception != "" and f".{host}".endswith(f".{exception}")


def _is_http(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        return parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0 and " " not in proxy
    except ValueError:
        return False


def _variable(name: str) -> str:
    """Return the name of a variable as the environment spells it."""
    return next((each for each in os.environ if each.lower() == name), name.upper())
