"""The clients that block: `Client` reads, `Publisher` publishes."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Self

import httpx

from eventfeed.client.events import Event
from eventfeed.client.feeds import Feed
from eventfeed.client.following import Following
from eventfeed.client.publishing import EventObject, Publishing, join_receipts, random_id
from eventfeed.client.receipts import Batch, Receipt
from eventfeed.client.sender import token_item
from eventfeed.client.steps import Action, Call, Item, Outcome, Page, Pause, Request, Steps, StreamStart
from eventfeed.client.tokens import FixedToken, Tokens
from eventfeed.client.wire import (
    REQUEST_ERRORS,
    Body,
    build_request,
    client_options,
    header_map,
    is_event_stream,
    to_failure,
)


class _Connection:
    """Connections to the service at `url`, with tokens from `tokens`, or the one `token`; anonymous without both."""

    def __init__(self, url: str, *, tokens: Tokens | None = None, token: str = "") -> None:
        self._url, self._tokens = url.rstrip("/"), tokens or FixedToken(token)
        self._http = httpx.Client(**client_options(self._url))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def token(self) -> str:
        """Return a platform token, for other requests. Raises `FeedError`."""
        (token,) = self._execute(token_item(self._tokens))
        return token

    def _execute(self, steps: Steps[Item, None]) -> Iterator[Item]:
        outcome: Outcome = None
        with contextlib.closing(_Driver(self._http, self._url)) as driver:
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration:
                    return
                if isinstance(step, Action):
                    outcome = driver.execute(step)
                else:
                    yield step
                    outcome = None


class Client(_Connection):
    """Reads feeds of the service at `url`, with tokens from `tokens`, or the one `token`; anonymous without both.

    It retries temporary failures: without an end while it follows, for about two minutes while it reads.
    """

    def follow(self, feed: Feed, *, after: str = "0", size: int | None = None) -> Iterator[Event]:
        """Yield the events after a cursor, and new events without an end. Store `event.cursor` after handling.

        Raises `FeedError` for an error that a retry cannot solve.
        """
        for page in self.pages(feed, after=after, size=size, follow=True):
            yield from page.events

    def read(self, feed: Feed, *, after: str = "0", size: int | None = None) -> Iterator[Event]:
        """Yield the events after a cursor, up to the newest. Raises `FeedError`."""
        for page in self.pages(feed, after=after, size=size):
            yield from page.events

    def pages(self, feed: Feed, *, after: str = "0", size: int | None = None, follow: bool = False) -> Iterator[Page]:
        """Yield pages, each with the cursor after it, which also moves without events. Raises `FeedError`."""
        following = Following(feed, self._tokens, after=after, size=size)
        return self._execute(following.follow() if follow else following.read())


class Publisher(_Connection):
    """Publishes events to the service at `url`, with tokens from `tokens`, or the one `token`.

    It retries temporary failures for about two minutes.
    """

    def publish(
        self,
        events: Iterable[EventObject],
        *,
        new_id: Callable[[int], str] = random_id,
        progress: Callable[[int], None] | None = None,
    ) -> list[Receipt]:
        """Publish events in order, in as many requests as they need, and return their receipts in the same order.

        An event is a mapping of CloudEvents attributes, or a JSON object in bytes. An event without an id gets
        `new_id(position)`; if this is the same each time, all events can be published again after an interruption.
        `progress` is called after each request with the number of events so far.

        Raises `EventsRejectedError` after the last event if the service rejected some of them, other kinds of
        `FeedError` immediately.
        """
        publishing = Publishing(self._tokens, new_id=new_id, progress=progress)
        return join_receipts(self._execute(publishing.batches(events)))

    def batches(self, events: Iterable[EventObject], *, new_id: Callable[[int], str] = random_id) -> Iterator[Batch]:
        """Publish as `publish` does, and yield the result of each request: for more events than fit in memory."""
        return self._execute(Publishing(self._tokens, new_id=new_id).batches(events))


class _Driver:
    """Executes actions, with one request and its response at a time."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self._http, self._url = http, url
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def execute(self, action: Action) -> Outcome:
        match action:
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Call(function):
                return str(function())
            case _:
                try:
                    return self._send(action) if isinstance(action, Request) else next(self._chunks, b"")
                except REQUEST_ERRORS as error:
                    return to_failure(error)

    def _send(self, request: Request) -> Outcome:
        self.close()
        self._response = self._http.send(build_request(self._http, request, url=self._url), stream=True)
        if is_event_stream(self._response, request):
            self._chunks = self._response.iter_bytes()
            return StreamStart(header_map(self._response))
        body = Body()
        for chunk in self._response.iter_bytes():
            body.add(chunk)
        return body.to_response(self._response)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
