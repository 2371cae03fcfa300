"""Network addresses."""

import ipaddress


def is_loopback(host: str) -> bool:
    """True if a host name or address is of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
