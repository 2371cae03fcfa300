"""Requests with a token, repeated while a failure may be temporary."""

import random
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from eventfeed.backoff import Backoff
from eventfeed.client.errors import FeedError, UnreachableError, refusal
from eventfeed.client.steps import Actions, ConnectionFailure, Outcome, Pause, Request, Response, Steps, StreamStart
from eventfeed.client.tokens import TEMPORARY_STATUSES, Tokens, TokenUnavailableError

BACKOFF_SECONDS = 0.5
BACKOFF_SECONDS_MAX = 20.0
RETRY_AFTER_SECONDS_MAX = 300.0
# About two minutes of attempts.
TRIES_MAX = 10
# If the first connections all break and none brings a response, the address belongs to something else.
FIRST_TRIES_MAX = 5
STATUS_UNAUTHORIZED = 401


class RequestSender:
    """Sends requests, one after another. `tries_max` bounds the failures in a row; None: no bound.

    `random` returns a number in [0, 1).
    """

    def __init__(
        self, tokens: Tokens, *, tries_max: int | None = TRIES_MAX, random: Callable[[], float] = random.random
    ) -> None:
        self._tokens, self.tries_max = tokens, tries_max
        self._backoff = Backoff(first=BACKOFF_SECONDS, longest=BACKOFF_SECONDS_MAX, random=random)
        self._failures = 0
        self._has_response = self._needs_new_token = False

    def send(self, request: Request, *, final: AbstractSet[int] = frozenset()) -> Actions[Response]:
        """Return the first response whose status is not temporary, or is in `final`.

        Raises `RefusedError` or `UnreachableError` if no attempt is left or no service answers.
        """
        response = yield from self.open(request, final=final)
        if isinstance(response, StreamStart):
            raise FeedError("The response is an event stream, but the request was for none.")
        self.reset_delays()
        return response

    def open(self, request: Request, *, final: AbstractSet[int] = frozenset()) -> Actions[Response | StreamStart]:
        """Return the start of a stream, or else a response as `send` does; the delays keep growing."""
        has_new_token = False
        while True:
            token = yield from self.token()
            outcome = yield _with_token(request, token)
            if isinstance(outcome, StreamStart) or (isinstance(outcome, Response) and outcome.status in final):
                self._has_response = True
                return outcome
            if not isinstance(outcome, Response) or outcome.status in TEMPORARY_STATUSES:
                yield from self._retry_later(request, outcome)
            elif outcome.status == STATUS_UNAUTHORIZED and not has_new_token and self.renew_token():
                has_new_token = True
            else:
                self._has_response = True
                return outcome

    def token(self) -> Actions[str]:
        """Return a token. Raises as `send` does."""
        while True:
            try:
                token = yield from self._tokens.token(fresh=self._needs_new_token)
            except TokenUnavailableError as failure:
                yield from self._retry_later(failure.request, failure.outcome)
            else:
                self._needs_new_token = False
                return token

    def renew_token(self) -> bool:
        """Get a new token before the next request. Return False if the token cannot be replaced."""
        self._needs_new_token = self._tokens.renewable
        return self._needs_new_token

    def back_off(self, retry_after: str = "") -> Actions[None]:
        """Pause for the time that the service asks for, and a random delay that doubles with each failure."""
        self._failures += 1
        seconds = min(float(retry_after), RETRY_AFTER_SECONDS_MAX) if retry_after.isdecimal() else 0.0
        yield Pause(seconds + self._backoff.next_delay())

    def reset_delays(self) -> None:
        """Start again with short delays and all attempts, after a success."""
        self._failures = 0
        self._backoff.reset()

    def _retry_later(self, request: Request, outcome: Outcome) -> Actions[None]:
        """Pause before the next attempt, unless none is left or no service answers at this address."""
        is_last = self.tries_max is not None and self._failures + 1 >= self.tries_max
        if isinstance(outcome, Response):
            self._has_response = True
            if is_last:
                raise refusal(request.target.partition("?")[0], outcome)
            yield from self.back_off(outcome.headers.get("retry-after", ""))
            return
        failure = outcome if isinstance(outcome, ConnectionFailure) else ConnectionFailure("no response")
        is_first = failure.is_connect_failure or self._failures >= FIRST_TRIES_MAX
        if is_last or (is_first and not self._has_response):
            raise UnreachableError(failure.reason)
        yield from self.back_off()


def _with_token(request: Request, token: str) -> Request:
    return request._replace(headers={**request.headers, "Authorization": f"Bearer {token}"}) if token else request


def token_item(tokens: Tokens) -> Steps[str, None]:
    """Yield a token as the only item."""
    yield (yield from RequestSender(tokens).token())
