"""Addresses of clients behind a gateway."""

import pytest

from eventfeed.http.public_url import PublicUrl
from tests.support.requests import http_request

GATEWAY = PublicUrl(public_url="", own_url="http://127.0.0.1:1", client_header="X-Forwarded-For")


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (["192.0.2.1"], "192.0.2.1"),
        (["10.0.0.1, 192.0.2.1"], "192.0.2.1"),
        (["10.0.0.1", "192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1:1234"], "192.0.2.1"),
        (["10.0.0.1, 192.0.2.1:1234"], "192.0.2.1"),
        (["2001:db8:1:2:3::4"], "2001:db8:1:2::/64"),
        (["[2001:db8:1:2:3::4]:1234"], "2001:db8:1:2::/64"),
        (["::ffff:192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1:1234:1"], "unknown"),
        (["somebody"], "unknown"),
        ([""], "unknown"),
        ([], "unknown"),
    ],
)
def test_client_address_behind_a_gateway_is_the_last_one(lines: list[str], address: str) -> None:
    """Earlier addresses, in the same line or in another, may come from the client itself. The port is left out."""
    request = http_request(headers=[("x-forwarded-for", line) for line in lines])

    assert address == GATEWAY.client_address(request)
