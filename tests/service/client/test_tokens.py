"""Platform tokens: from the exchange, and reused until shortly before they expire."""

import base64
import json
import time
from collections.abc import Sequence

import pytest

from eventfeed.client import RefusedError, development_organisation, token_exchange
from eventfeed.client.sender import RequestSender, token_item
from eventfeed.client.steps import Call, Outcome, Request, Response
from eventfeed.client.tokens import FixedToken, Tokens, TokenUnavailableError
from tests.service.client.step_driver import NO_CONNECTION, problem, run_steps


def jwt(seconds: float) -> str:
    """Return a token that expires in this time."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + seconds}).encode()).decode().rstrip("=")
    return f"x.{claims}.y"


def get_token(tokens: Tokens, *outcomes: Outcome, fresh: bool = False) -> tuple[str, Sequence[Request]]:
    """Return a token, and the requests for it."""
    steps, queue, requests, outcome = tokens.token(fresh=fresh), list(outcomes), list[Request](), None
    try:
        while True:
            step = steps.send(outcome)
            requests += [step] if isinstance(step, Request) else []
            outcome = str(step.function()) if isinstance(step, Call) else queue.pop(0)
    except StopIteration as stop:
        return stop.value, requests


def response(token: str) -> Response:
    """Return the response of the exchange."""
    return Response(200, {}, token.encode())


def test_token_is_exchanged_and_reused_until_it_expires() -> None:
    """A fresh token can be requested before that."""
    tokens, long_token, short_token = token_exchange(lambda: "external"), jwt(600), jwt(5)
    first, (request,) = get_token(tokens, response(long_token))
    second, no_requests = get_token(tokens)
    fresh, _ = get_token(tokens, response(short_token), fresh=True)
    renewal, requests = get_token(tokens, response(long_token))

    assert ([long_token, long_token, short_token, long_token], [], 1) == (
        [first, second, fresh, renewal],
        no_requests,
        len(requests),
    )
    assert ("GET", "/authentication/api/v1/exchange/maskinporten") == (request.method, request.target)
    assert "Bearer external" == request.headers["Authorization"]


def test_development_organisation_uses_the_development_issuer() -> None:
    """The client exchanges the token of the issuer."""
    tokens = development_organisation("991825827", scope="a b")
    _, requests = get_token(tokens, response("external"), response(jwt(600)))

    assert ["/development/maskinporten/token", "/authentication/api/v1/exchange/maskinporten"] == [
        request.target for request in requests
    ]
    assert b"org_number=991825827&scope=a+b" == requests[0].content


@pytest.mark.parametrize("outcome", [NO_CONNECTION, problem(503, "unavailable"), problem(429, "too-many-requests")])
def test_temporary_failure_of_the_exchange_is_no_refusal(outcome: Outcome) -> None:
    """The sender of the request decides how long to wait."""
    with pytest.raises(TokenUnavailableError):
        get_token(token_exchange(lambda: "external"), outcome)


def test_temporary_failure_of_the_exchange_is_retried_by_the_sender() -> None:
    """The sender retries every other request in the same way."""
    tokens = token_exchange(lambda: "external")
    run = run_steps(token_item(tokens), problem(503, "unavailable"), response("token"))

    assert (["token"], 1) == (run.items, len(run.pauses))


def test_refusal_of_the_exchange_is_raised_with_its_reason() -> None:
    """One reason is a scope that the organisation does not have."""
    with pytest.raises(RefusedError, match="403 insufficient-scope"):
        get_token(token_exchange(lambda: "external"), problem(403, "insufficient-scope"))


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "a.e30.c"])
def test_token_without_an_expiry_is_reused(token: str) -> None:
    """The service rejects the token when it expires."""
    tokens = token_exchange(lambda: "external")
    get_token(tokens, response(token))

    assert (token, []) == get_token(tokens)


def test_fixed_token_cannot_be_renewed() -> None:
    """The client has no other token."""
    assert not RequestSender(FixedToken("token")).renew_token()
