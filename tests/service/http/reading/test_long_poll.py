"""How long a caller would wait, and how many may."""

import pytest
from litestar.testing import RequestFactory

from eventfeed.domain.errors import TooManyRequests, Unavailable
from eventfeed.http.reading.long_poll import ConcurrencyLimits, preferred_wait
from eventfeed.http.request import AnyRequest


def request(*preferences: str) -> AnyRequest:
    """A request with these `Prefer` lines."""
    made = RequestFactory().get("/")
    made.scope["headers"] = [*made.scope["headers"], *((b"prefer", each.encode()) for each in preferences)]
    return made


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
        (("wait=61",), 60),
        (("wait=999999999",), 60),
        (("wait=99999999999999999999",), 0),
        (("wait=-1",), 0),
        (("wait=1.5",), 0),
        (("wait",), 0),
        (("wait=٣",), 0),
        (("waiting=5",), 0),
    ],
)
def test_the_first_wait_counts(preferences: tuple[str, ...], seconds: int) -> None:
    """A minute at most; what is not understood is no preference (RFC 7240)."""
    assert seconds == preferred_wait(request(*preferences))


def test_polls_wait_while_there_are_places() -> None:
    """A place is free again when its poll is answered."""
    places = ConcurrencyLimits(waits=1, streams=0, caller_streams=0)
    with places.wait() as first, places.wait() as second:
        pass
    with places.wait() as third:
        pass

    assert (True, False, True) == (first, second, third)


def test_a_caller_has_so_many_streams() -> None:
    """And no more; another has its own."""
    places = ConcurrencyLimits(waits=0, streams=9, caller_streams=1)
    with places.stream("a"), places.stream("b"), pytest.raises(TooManyRequests), places.stream("a"):
        pass
    with places.stream("a"):
        pass


def test_all_callers_have_so_many_streams_together() -> None:
    """Then there is none for anybody."""
    places = ConcurrencyLimits(waits=0, streams=2, caller_streams=9)
    with places.stream("a"), places.stream("b"), pytest.raises(Unavailable), places.stream("c"):
        pass
    assert not places._streaming
