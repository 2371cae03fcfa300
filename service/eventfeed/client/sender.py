"""Requests with a token, repeated while a failure may be temporary."""

import email.utils
import random
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from eventfeed.backoff import Backoff
from eventfeed.client.errors import FeedError, UnreachableError, refusal
from eventfeed.client.pages import MalformedResponseError
from eventfeed.client.steps import (
    Actions,
    ConnectionFailure,
    Outcome,
    Pause,
    Request,
    Response,
    Result,
    Steps,
    StreamStart,
)
from eventfeed.client.tokens import TEMPORARY_STATUSES, Tokens, TokenUnavailableError

BACKOFF_SECONDS = 0.5
BACKOFF_SECONDS_MAX = 20.0
RETRY_AFTER_SECONDS_MAX = 300.0
# About two minutes of attempts.
TRIES_MAX = 10
# If the first connections all break and none brings a response, the address belongs to something else.
FIRST_TRIES_MAX = 5
# Malformed responses in a row: more are no hiccup of a proxy.
MALFORMED_TRIES_MAX = 5
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
        self._failures = self._malformed_responses = 0
        self._has_response = self._has_result = self._needs_new_token = False

    def send(self, request: Request, *, final: AbstractSet[int] = frozenset()) -> Actions[Response]:
        """Return the first response whose status is not temporary, or is in `final`.

        Raises `RefusedError` or `UnreachableError` if no attempt is left or no service answers.
        """
        response = yield from self.open(request, final=final)
        if isinstance(response, StreamStart):
            raise FeedError("The response is an event stream, but the request was for none.")
        self.reset_delays()
        return response

    def fetch(self, request: Request, *, parse: Callable[[Response], Result]) -> Actions[Result]:
        """Return the result of `parse`. Raises as both do, and `FeedError` if responses stay malformed."""
        while True:
            response = yield from self.open(request)
            if isinstance(response, StreamStart):
                raise FeedError("The response is an event stream, but the request was for none.")
            try:
                result = parse(response)
            except MalformedResponseError as fault:
                yield from self.retry_malformed(fault)
            else:
                self._has_result = True
                self.reset_delays()
                return result

    def retry_malformed(self, fault: MalformedResponseError) -> Actions[None]:
        """Pause after a malformed response. Raises `FeedError` if it is from another program, or one of many."""
        self._malformed_responses += 1
        is_hiccup = fault.is_from_feed or self._has_result
        if not is_hiccup or self._malformed_responses >= MALFORMED_TRIES_MAX or self._is_last_try():
            raise FeedError(str(fault)) from None
        yield from self.back_off()

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

    def back_off(self, seconds: float = 0.0) -> Actions[None]:
        """Pause for the time that the service asks for, and a random delay that doubles with each failure."""
        self._failures += 1
        yield Pause(seconds + self._backoff.next_delay())

    def reset_delays(self) -> None:
        """Start again with short delays and all attempts, after a success."""
        self._failures = self._malformed_responses = 0
        self._backoff.reset()

    def _is_last_try(self) -> bool:
        return self.tries_max is not None and self._failures + 1 >= self.tries_max

    def _retry_later(self, request: Request, outcome: Outcome) -> Actions[None]:
        """Pause before the next attempt, unless none is left or no service answers at this address."""
        is_last = self._is_last_try()
        if isinstance(outcome, Response):
            self._has_response = True
            if is_last:
                raise refusal(request.target.partition("?")[0], outcome)
            yield from self.back_off(retry_after_seconds(outcome.headers))
            return
        failure = outcome if isinstance(outcome, ConnectionFailure) else ConnectionFailure("no response")
        is_first = failure.is_connect_failure or self._failures >= FIRST_TRIES_MAX
        if is_last or (is_first and not self._has_response):
            raise UnreachableError(failure.reason)
        yield from self.back_off()


def retry_after_seconds(headers: Mapping[str, str]) -> float:
    """Return the time in `Retry-After`, as seconds or as a date (RFC 9110 §10.2.3); 0 if there is none, bounded."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), RETRY_AFTER_SECONDS_MAX)
    try:
        seconds = _timestamp(text) - (_timestamp(headers["date"]) if "date" in headers else time.time())
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)


def _timestamp(date: str) -> float:
    return email.utils.parsedate_to_datetime(date).timestamp()


def _with_token(request: Request, token: str) -> Request:
    return request._replace(headers={**request.headers, "Authorization": f"Bearer {token}"}) if token else request


def token_item(tokens: Tokens) -> Steps[str, None]:
    """Yield a token as the only item."""
    yield (yield from RequestSender(tokens).token())
