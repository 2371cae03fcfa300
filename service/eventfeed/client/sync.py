"""The client that blocks."""

import time
from collections.abc import Iterator
from typing import Self

import httpx

from eventfeed.client.events import Event
from eventfeed.client.feeds import Feed
from eventfeed.client.following import Following
from eventfeed.client.steps import Answer, Broken, Call, More, Opened, Outcome, Page, Pause, Request, Steps
from eventfeed.client.tokens import Fixed, Tokens
from eventfeed.client.wire import answer_of, broken, client_options, sent, streamed


class Client:
    """Reads feeds of the service at `url`, as whoever `tokens` speak for, or `token` does; as nobody without either.

    What passes by itself is waited for: for ever while following, for about two minutes while reading.
    """

    def __init__(self, url: str, *, tokens: Tokens | None = None, token: str = "") -> None:
        self._url, self._tokens = url.rstrip("/"), tokens or Fixed(token)
        self._http = httpx.Client(**client_options(self._url))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def follow(self, feed: Feed, *, after: str = "0", size: int | None = None) -> Iterator[Event]:
        """The events after a cursor, and for ever those that come. Keep `event.cursor` of what has been handled.

        Raises `FeedError` when a person must decide.
        """
        for page in self.pages(feed, after=after, size=size, follow=True):
            yield from page.events

    def read(self, feed: Feed, *, after: str = "0", size: int | None = None) -> Iterator[Event]:
        """The events after a cursor, up to the newest. Raises `FeedError`."""
        for page in self.pages(feed, after=after, size=size):
            yield from page.events

    def pages(self, feed: Feed, *, after: str = "0", size: int | None = None, follow: bool = False) -> Iterator[Page]:
        """The same by pages, each with the cursor after it, which moves without events too. Raises `FeedError`."""
        following = Following(feed, self._tokens, after=after, size=size)
        return self._driven(following.follow() if follow else following.read())

    def _driven(self, steps: Steps[None]) -> Iterator[Page]:
        line = _Line(self._http, self._url)
        outcome: Outcome = None
        try:
            while True:
                step = steps.send(outcome)
                outcome = None
                match step:
                    case Page():
                        yield step
                    case Pause(seconds):
                        time.sleep(seconds)
                    case Call(function):
                        outcome = str(function())
                    case Request():
                        outcome = line.ask(step)
                    case More():
                        outcome = line.more()
        except StopIteration:
            return
        finally:
            line.close()


class _Line:
    """The one request under way."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self._http, self._url = http, url
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def ask(self, request: Request) -> Answer | Opened | Broken:
        """Send a request; the one before is done with."""
        self.close()
        try:
            self._response = self._http.send(sent(self._http, request, url=self._url), stream=True)
            if request.streaming and streamed(self._response):
                self._chunks = self._response.iter_bytes()
                return Opened()
            self._response.read()
            return answer_of(self._response)
        except httpx.TransportError as failure:
            return broken(failure)

    def more(self) -> bytes | Broken:
        """What has come of the stream."""
        try:
            return next(self._chunks, b"")
        except httpx.TransportError as failure:
            return broken(failure)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
