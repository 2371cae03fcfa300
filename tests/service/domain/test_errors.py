"""Failures: their codes and facts."""

from collections.abc import Iterator

from eventfeed.domain.errors import (
    CursorExpired,
    Failure,
    Forbidden,
    NotThroughGateway,
    Refused,
    TailMoved,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from eventfeed.http.problems import KINDS


def subclasses(failure: type[Failure]) -> Iterator[type[Failure]]:
    """Every class below this one."""
    for each in failure.__subclasses__():
        yield each
        yield from subclasses(each)


def test_every_failure_that_a_caller_sees_has_an_explanation() -> None:
    """Only the classes that group others have a code without one."""
    codes = {each.code for each in subclasses(Failure)}

    assert {Refused.code, Forbidden.code} == codes - KINDS.keys()


def test_failures_keep_the_facts_of_their_response() -> None:
    """The attributes become members and headers of the response."""
    expiry = CursorExpired(oldest="a.5", oldest_time=None)
    race = TailMoved(expected=3, actual=4)

    assert ("a.5", None) == (expiry.oldest, expiry.oldest_time)
    assert (3, 4, 1) == (race.expected, race.actual, race.retry_seconds)
    assert (True, False) == (Unauthenticated("x").has_token, Unauthenticated("x", has_token=False).has_token)
    assert (7, 8) == (
        TooManyRequests("x", retry_seconds=7).retry_seconds,
        Unavailable("x", retry_seconds=8).retry_seconds,
    )
    assert "the log ends at 4, not 3" == str(race)
    assert "not-through-the-gateway" == NotThroughGateway("x").code
