"""The wait that a caller prefers, and the end of its connection."""

import pytest

from eventfeed.http.reading.long_poll import preferred_wait, wait_for_disconnect
from tests.support.requests import http_request


@pytest.mark.parametrize(
    ("preferences", "seconds"),
    [
        ((), 0),
        (("wait=10",), 10),
        (("Wait = 10",), 10),
        (('wait="10"',), 10),
        (("respond-async, wait=7",), 7),
        (("respond-async", "wait=7"), 7),
        (("wait=7;x=y",), 7),
        (("wait=7, wait=9",), 7),
        (("wait=56",), 55),
        (("wait=999999999",), 55),
        (("wait=99999999999999999999",), 0),
        (("wait=-1",), 0),
        (("wait=1.5",), 0),
        (("wait",), 0),
        (("wait=\xb2",), 0),
        (("waiting=5",), 0),
    ],
)
def test_preferred_wait_is_the_first_valid_one(preferences: tuple[str, ...], seconds: int) -> None:
    """It is at most 55 s: many proxies end a request after a minute. Other values are ignored (RFC 7240 §4.3)."""
    assert seconds == preferred_wait(http_request(headers=[("prefer", each) for each in preferences]))


async def test_disconnect_is_reported_after_the_rest_of_the_body() -> None:
    """Other messages before the disconnect are skipped."""
    messages = [{"type": "http.request"}, {"type": "http.request"}, {"type": "http.disconnect"}, {"type": "other"}]

    async def receive() -> dict[str, str]:
        return messages.pop(0)

    await wait_for_disconnect(receive)

    assert [{"type": "other"}] == messages
