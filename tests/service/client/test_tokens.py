"""Platform tokens: had in exchange, kept while they are good."""

import base64
import json
import time
from collections.abc import Sequence

import pytest

from eventfeed.client import RefusedError, development_organisation, exchanged
from eventfeed.client.steps import Answer, Call, Outcome, Request, Step
from eventfeed.client.tokens import NotNowError, Tokens
from tests.service.client.driving import NOBODY, problem


def token(seconds: float) -> str:
    """A token that ends so many seconds from now."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + seconds}).encode()).decode().rstrip("=")
    return f"x.{claims}.y"


def had(tokens: Tokens, *outcomes: Outcome, fresh: bool = False) -> tuple[str, Sequence[Step]]:
    """A token, and the steps it took."""
    steps, left, fit, outcome = tokens.token(fresh=fresh), list(outcomes), list[Step](), None
    try:
        while True:
            step = steps.send(outcome)
            fit.append(step)
            outcome = str(step.function()) if isinstance(step, Call) else left.pop(0)
    except StopIteration as stop:
        return stop.value, fit


def answer(text: str) -> Answer:
    """A token as the service gives it."""
    return Answer(200, {}, text.encode())


def test_a_token_is_exchanged_and_kept() -> None:
    """Until shortly before it ends, or when another must be had."""
    tokens, good, short = exchanged(lambda: "external"), token(600), token(5)
    first, steps = had(tokens, answer(good))
    again, none = had(tokens)
    fresh, _ = had(tokens, answer(short), fresh=True)
    renewed, more = had(tokens, answer(good))

    assert ([good, good, short, good], 0, 2) == ([first, again, fresh, renewed], len(none), len(more))
    request = steps[-1]
    assert isinstance(request, Request)
    assert ("GET", "/authentication/api/v1/exchange/maskinporten") == (request.method, request.target)
    assert "Bearer external" == request.headers["Authorization"]


def test_a_development_identity_has_its_own_provider() -> None:
    """Asked by its form, then exchanged."""
    _, steps = had(development_organisation("991825827", scope="a b"), answer("external"), answer(token(600)))

    assert ["/development/maskinporten/token", "/authentication/api/v1/exchange/maskinporten"] == [
        step.target for step in steps if isinstance(step, Request)
    ]
    assert b"org_number=991825827&scope=a+b" == steps[0].content  # type: ignore[union-attr]  # a request


@pytest.mark.parametrize("outcome", [NOBODY, problem(503, "unavailable"), problem(429, "too-many-requests")])
def test_an_exchange_that_may_come_later_is_not_refused(outcome: Outcome) -> None:
    """Whoever asked decides how long to wait."""
    with pytest.raises(NotNowError):
        had(exchanged(lambda: "external"), outcome)


def test_an_exchange_that_is_refused_says_why() -> None:
    """A scope that the organisation has not."""
    with pytest.raises(RefusedError, match="403 insufficient-scope"):
        had(exchanged(lambda: "external"), problem(403, "insufficient-scope"))


@pytest.mark.parametrize("text", ["opaque", "a.b.c", "a.e30.c"])
def test_a_token_that_says_nothing_is_kept(text: str) -> None:
    """The service will tell when it has ended."""
    tokens = exchanged(lambda: "external")
    had(tokens, answer(text))

    assert (text, []) == had(tokens)
