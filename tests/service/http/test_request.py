"""Where a request comes from, behind a gateway and without one."""

import pytest
from litestar.testing import RequestFactory

from eventfeed.http.request import PublicUrl

GATEWAY = PublicUrl(public_url="", own_url="http://127.0.0.1:1", client_header="X-Forwarded-For")


@pytest.mark.parametrize(
    ("lines", "caller"),
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
def test_a_gateways_word_is_its_last_one(lines: list[str], caller: str) -> None:
    """What the caller sent itself comes before it, in the same line or in one of its own; a port is no address."""
    request = RequestFactory().get("/")
    request.scope["headers"] = [(b"x-forwarded-for", line.encode()) for line in lines]

    assert caller == GATEWAY.caller(request)
