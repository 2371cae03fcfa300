"""Answering for a feed: a page and its entity tag, 304, a page when something comes, or live (contract section 5)."""

import asyncio
import functools
import hashlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec
from litestar import Response
from litestar.datastructures import Accept
from litestar.exceptions import HTTPException
from msgspec.structs import replace

from eventfeed.domain.cursor import Bare, Cursor
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Page, PageRequest, name_of
from eventfeed.http.publishing.cloudevents import BATCHED, JSON
from eventfeed.http.reading.event_stream import EVENT_STREAM, Live, Source, Stream
from eventfeed.http.reading.long_poll import preferred_wait, wait_for_disconnect
from eventfeed.http.reading.parameters import Parameters
from eventfeed.http.reading.representation import View
from eventfeed.http.request import AnyRequest, PublicUrl, header
from eventfeed.http.response import COMPRESSED_BYTES_MIN, Answer, compressed, takes_gzip
from eventfeed.telemetry.metrics import CAUGHT_UP

# So many bodies are kept for whoever asks next, of so many bytes each: 4 MiB.
JOINED_MAX, JOINED_BYTES_MAX = 64, 64 * 1024

# Whatever the answer depends on beside the URL.
VARY = b"Accept, Accept-Encoding, Authorization, Person, Prefer, Last-Event-ID"


class Asked(NamedTuple):
    """What one request asks: `view` of a feed, by `parameters`, in this form."""

    request: AnyRequest
    view: View
    parameters: Parameters
    media_type: str

    def page_request(self) -> PageRequest:
        """The same, as the reader understands it."""
        return PageRequest(
            query=self.view.query,
            size=self.parameters.size,
            after=self.parameters.after or Bare(position=0),
            since=self.parameters.since,
            until=self.parameters.until,
        )


class Pages:
    """Answers questions for feeds; `secret` is what entity tags are made with."""

    def __init__(self, source: Source, addresses: PublicUrl, *, secret: bytes) -> None:
        self._source, self._addresses = source, addresses
        self._tags = hashlib.blake2b(key=secret, digest_size=16)
        # By the form that events are shown in, the log, and which they are: a log of a new name may have others there.
        self._joined: dict[tuple[Callable[[Entry], bytes], str, bytes], bytes] = {}

    async def answered(self, request: AnyRequest, view: View, *, parameters: Parameters) -> Response[bytes]:
        """A page, 304 when the caller has this very page, or a stream. Raises what `Reader.read` raises."""
        asked = Asked(request, view, parameters, _accepted(request))
        ask, wait = asked.page_request(), preferred_wait(request)
        page = await self._source.reader.read(ask)
        if asked.media_type == EVENT_STREAM:
            return Stream(self._source, Live(request, view, ask, page))
        if wait:
            with self._source.places.wait() as waiting:
                if waiting:
                    page = await self._awaited(asked, page, seconds=wait)
                else:
                    wait = 0
        return await self._answer(asked, page, waited=wait)

    async def _awaited(self, asked: Asked, page: Page, *, seconds: float) -> Page:
        """The page once there is something in it that the caller has not got, or as it is when the time is up."""
        ask = asked.page_request()
        if page.entries and (len(page.entries) == ask.size or not self._has(asked, page)):
            return page
        reader, deadline = self._source.reader, asyncio.get_running_loop().time() + seconds
        left, known = asyncio.create_task(wait_for_disconnect(asked.request.receive)), page
        try:
            while not (page.more or reader.past(ask.until) or reader.ended or left.done()):
                if (rest := deadline - asyncio.get_running_loop().time()) <= 0:
                    break
                position = await reader.arrival(ask.query, past=page.cursor.position, seconds=rest, unless=left)
                if not known.entries:
                    ask = replace(ask, after=Cursor(log=page.cursor.log, position=position))
                await asked.view.allowed()
                page = await reader.read(ask)
                if len(page.entries) > len(known.entries):
                    return page
        finally:
            left.cancel()
        return known if known.entries else page

    async def _answer(self, asked: Asked, page: Page, *, waited: int) -> Answer:
        """The page, or 304; `waited` is how long it might have waited (s), 0 when it did not."""
        cursor = str(page.cursor)
        link = self._link(asked, cursor)
        tag = self._tag(asked, page, link=link)
        has = _named(asked.request, tag)
        if page.entries and not has:
            await asked.view.recorded(page)
        body = b"" if has else self._body(asked.view, page)
        coded = len(body) >= COMPRESSED_BYTES_MIN and takes_gzip(header(asked.request, b"accept-encoding") or "")
        headers = [
            (b"link", b'<%b>; rel="next"' % link),
            (b"next", link),
            (b"feed-cursor", cursor.encode()),
            (b"feed-more", b"true" if page.more else b"false"),
            (b"etag", (tag if not coded else _coded(tag)).encode()),
            (b"cache-control", b"private, no-cache"),
            (b"vary", VARY),
        ]
        if waited:
            headers.append((b"preference-applied", b"wait=%d" % waited))
        if has or not page.entries:
            kind = "304" if has else "wait" if waited else "empty"
            CAUGHT_UP.add(not page.more, name_of(asked.view.query.feed), kind)
        if has:
            return Answer(304, headers)
        if coded:
            body = await compressed(body)
            headers.append((b"content-encoding", b"gzip"))
        headers += [(b"content-type", asked.media_type.encode()), (b"content-length", b"%d" % len(body))]
        return Answer(200, headers, body=body)

    def _body(self, view: View, page: Page) -> bytes:
        """The stored events, joined: never parsed and printed again, and once for all who follow the same feed."""
        if not page.entries:
            return b"[]"
        key = view.shown, page.cursor.log, page.places
        if (body := self._joined.get(key)) is None:
            body = _joined(map(view.shown, page.entries))
            if len(body) <= JOINED_BYTES_MAX:
                if len(self._joined) >= JOINED_MAX:
                    del self._joined[next(iter(self._joined))]
                self._joined[key] = body
        return body

    def _link(self, asked: Asked, cursor: str) -> bytes:
        query = asked.parameters.query_after(cursor)
        path: bytes = asked.request.scope["raw_path"]
        return b"%b%b?%b" % (self._addresses.base(asked.request).encode(), path, query.encode())

    def _tag(self, asked: Asked, page: Page, *, link: bytes) -> str:
        """A strong entity tag. The link holds log and last position examined; entries never change.

        With those, what was asked and the caller's rights, which entries were found is all that is left to tell. Only
        who was sent a page knows its tag: who could compute one would learn from a 304 what is in a page unread.
        """
        # What was asked, however: a POST says it in its body, not in its URL.
        asking = msgspec.json.encode((asked.media_type, asked.view.rights, page.more))
        tag = self._tags.copy()
        tag.update(b"%b %b %b %b" % (link, asking, asked.parameters.told, page.places))
        return f'"{tag.hexdigest()}"'

    def _has(self, asked: Asked, page: Page) -> bool:
        """Whether the caller has this very page."""
        return _named(asked.request, self._tag(asked, page, link=self._link(asked, str(page.cursor))))


def _joined(events: Iterable[bytes]) -> bytes:
    """A JSON array of events. Brackets go to the first and last one: around the whole they would copy it twice."""
    first, *rest = events
    events = [b"[" + first, *rest]
    events[-1] += b"]"
    return b",".join(events)


def _named(request: AnyRequest, tag: str) -> bool:
    """Whether the caller names this tag, of either coding: weak comparison against each it names (RFC 9110 §13.1.2).

    `*` matches nothing: it would ask whether there is a page at all, and there always is.
    """
    condition = header(request, b"if-none-match")
    if not condition:
        return False
    tags = {part.strip().removeprefix("W/") for part in condition.split(",")}
    return tag in tags or _coded(tag) in tags


def _coded(tag: str) -> str:
    """The tag of the same page in gzip: other bytes need another (RFC 9110 §8.8.3.3)."""
    return f'{tag[:-1]}-gzip"'


def _accepted(request: AnyRequest) -> str:
    """The media type to answer with."""
    accept = header(request, b"accept")
    best = BATCHED if accept is None else _best(accept)
    if best is None:
        raise HTTPException(status_code=406)
    return best


@functools.lru_cache(maxsize=256)
def _best(accept: str) -> str | None:
    return Accept(accept).best_match([BATCHED, JSON, EVENT_STREAM], default=None)
