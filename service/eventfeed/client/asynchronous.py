"""The clients for asyncio: `Client` and `Publisher`, awaited."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterable
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


class _AsyncConnection:
    def __init__(self, url: str, *, tokens: Tokens | None = None, token: str = "") -> None:
        self._url, self._tokens = url.rstrip("/"), tokens or FixedToken(token)
        self._http = httpx.AsyncClient(**client_options(self._url))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def token(self) -> str:
        """Return a platform token, for other requests. Raises `FeedError`."""
        (token,) = [token async for token in self._execute(token_item(self._tokens))]
        return token

    async def _execute(self, steps: Steps[Item, None]) -> AsyncIterator[Item]:
        outcome: Outcome = None
        async with contextlib.aclosing(_Driver(self._http, self._url)) as driver:
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration:
                    return
                if isinstance(step, Action):
                    outcome = await driver.execute(step)
                else:
                    yield step
                    outcome = None


class AsyncClient(_AsyncConnection):
    """See `Client`."""

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
        return self._execute(following.follow() if follow else following.read())


class AsyncPublisher(_AsyncConnection):
    """See `Publisher`."""

    async def publish(
        self,
        events: Iterable[EventObject],
        *,
        new_id: Callable[[int], str] = random_id,
        progress: Callable[[int], None] | None = None,
    ) -> list[Receipt]:
        """See `Publisher.publish`."""
        publishing = Publishing(self._tokens, new_id=new_id, progress=progress)
        return join_receipts([batch async for batch in self._execute(publishing.batches(events))])

    def batches(
        self, events: Iterable[EventObject], *, new_id: Callable[[int], str] = random_id
    ) -> AsyncIterator[Batch]:
        """See `Publisher.batches`."""
        return self._execute(Publishing(self._tokens, new_id=new_id).batches(events))


class _Driver:
    """Executes actions, with one request and its response at a time."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http, self._url = http, url
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def execute(self, action: Action) -> Outcome:
        match action:
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Call(function):
                result = await asyncio.to_thread(function)
                return str(await result if inspect.isawaitable(result) else result)
            case _:
                try:
                    return await (self._send(action) if isinstance(action, Request) else self._read_chunk())
                except REQUEST_ERRORS as error:
                    return to_failure(error)

    async def _send(self, request: Request) -> Outcome:
        await self.aclose()
        self._response = await self._http.send(build_request(self._http, request, url=self._url), stream=True)
        if is_event_stream(self._response, request):
            self._chunks = self._response.aiter_bytes()
            return StreamStart(header_map(self._response))
        body = Body()
        async for chunk in self._response.aiter_bytes():
            body.add(chunk)
        return body.to_response(self._response)

    async def _read_chunk(self) -> Outcome:
        return await anext(self._chunks, b"") if self._chunks else b""

    async def aclose(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = None
