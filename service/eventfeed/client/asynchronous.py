"""The client for asyncio: the same as `Client`, awaited."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Self

import httpx

from eventfeed.client.events import Event
from eventfeed.client.feeds import Feed
from eventfeed.client.following import Following
from eventfeed.client.steps import Answer, Broken, Call, More, Opened, Outcome, Page, Pause, Request, Steps
from eventfeed.client.tokens import Fixed, Tokens
from eventfeed.client.wire import answer_of, broken, client_options, sent, streamed


class AsyncClient:
    """See `Client`."""

    def __init__(self, url: str, *, tokens: Tokens | None = None, token: str = "") -> None:
        self._url, self._tokens = url.rstrip("/"), tokens or Fixed(token)
        self._http = httpx.AsyncClient(**client_options(self._url))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def follow(self, feed: Feed, *, after: str = "0", size: int | None = None) -> AsyncIterator[Event]:
        """See `Client.follow`."""
        async for page in self.pages(feed, after=after, size=size, follow=True):
            for event in page.events:
                yield event

    async def read(self, feed: Feed, *, after: str = "0", size: int | None = None) -> AsyncIterator[Event]:
        """See `Client.read`."""
        async for page in self.pages(feed, after=after, size=size):
            for event in page.events:
                yield event

    def pages(
        self, feed: Feed, *, after: str = "0", size: int | None = None, follow: bool = False
    ) -> AsyncIterator[Page]:
        """See `Client.pages`."""
        following = Following(feed, self._tokens, after=after, size=size)
        return self._driven(following.follow() if follow else following.read())

    async def _driven(self, steps: Steps[None]) -> AsyncIterator[Page]:
        line = _Line(self._http, self._url)
        outcome: Outcome = None
        try:
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration:
                    return
                outcome = None
                match step:
                    case Page():
                        yield step
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                    case Call(function):
                        given = await asyncio.to_thread(function)
                        outcome = str(await given if inspect.isawaitable(given) else given)
                    case Request():
                        outcome = await line.ask(step)
                    case More():
                        outcome = await line.more()
        finally:
            await line.close()


class _Line:
    """The one request under way."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http, self._url = http, url
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def ask(self, request: Request) -> Answer | Opened | Broken:
        """Send a request; the one before is done with."""
        await self.close()
        try:
            self._response = await self._http.send(sent(self._http, request, url=self._url), stream=True)
            if request.streaming and streamed(self._response):
                self._chunks = self._response.aiter_bytes()
                return Opened()
            await self._response.aread()
            return answer_of(self._response)
        except httpx.TransportError as failure:
            return broken(failure)

    async def more(self) -> bytes | Broken:
        """What has come of the stream."""
        if self._chunks is None:
            return b""
        try:
            return await anext(self._chunks, b"")
        except httpx.TransportError as failure:
            return broken(failure)

    async def close(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = None
