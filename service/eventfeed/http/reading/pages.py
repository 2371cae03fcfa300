"""Responses for feeds: a page with its entity tag, 304, a long poll or an event stream (contract section 5)."""

import asyncio
import functools
import gzip
import hashlib
import math
import re
from collections.abc import Mapping, Sequence

import msgspec
from cachetools import LRUCache
from litestar.exceptions import HTTPException
from msgspec.structs import replace

from eventfeed.domain.errors import Fault, InvalidCursor, InvalidRequest, Unavailable
from eventfeed.domain.feed import Page
from eventfeed.domain.moment import format_moment
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.reading.event_stream import EVENT_STREAM, EventStreamResponse, start_header
from eventfeed.http.reading.feed_request import FeedRequest, ReadingServices
from eventfeed.http.reading.long_poll import connected, preferred_wait
from eventfeed.http.reading.parameters import Parameters
from eventfeed.http.reading.rate_limit import RETRY_SECONDS
from eventfeed.http.reading.representation import SerialiseAll
from eventfeed.http.reading.stream_pages import StreamPages, stream_bounds
from eventfeed.http.request import HttpResponse
from eventfeed.http.response import (
    CLOUDEVENT,
    CLOUDEVENT_BATCH,
    COMPRESSED_BYTES_MIN,
    COMPRESSION_LEVEL,
    JSON,
    BytesResponse,
    Header,
    accepts_gzip,
)
from eventfeed.http.sending import WHOLE_BYTES_MAX, LargeResponse

# The most bodies of pages in the cache, and the most bytes of each: 4 MiB together.
BODIES_MAX, BODY_BYTES_MAX = 64, 64 * 1024

# Request headers that responses depend on.
VARY = b"Accept, Accept-Encoding, Authorization, Person, Altinn-AlternativeSubject, Prefer, Last-Event-ID"

# The media ranges that match each media type of a response, the most specific first. No wildcard matches a stream.
_RANGES = {
    CLOUDEVENT_BATCH: (CLOUDEVENT_BATCH, CLOUDEVENT, "application/*", "*/*"),
    JSON: (JSON, "application/*", "*/*"),
    EVENT_STREAM: (EVENT_STREAM,),
}
_WEIGHT = re.compile(r"(?:^|;)\s*q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)", re.ASCII | re.IGNORECASE)


class Pages:
    """Responds to requests for feeds. `secret` is the key of entity tags."""

    def __init__(self, services: ReadingServices, public_url: PublicUrl, *, secret: bytes) -> None:
        self._services, self._public_url = services, public_url
        self._stream_pages = StreamPages(services)
        self._tag_digest = hashlib.blake2b(key=secret, digest_size=16)
        # The key is serialisation, log name and positions: another log may have other entries at the same positions.
        self._bodies = LRUCache[tuple[SerialiseAll, str, bytes], Sequence[bytes]](BODIES_MAX)

    async def respond(self, feed_request: FeedRequest) -> HttpResponse:
        """Return a page, a stream (204 after its end), or 304 if the caller already has the page.

        Raises the errors of `Reader.read`.
        """
        parameters, fields = feed_request.parameters, feed_request.request.fields
        media_type = negotiate(fields.get("accept"))
        seconds: float = preferred_wait(fields["prefer"]) if "prefer" in fields else 0
        if parameters.timeout is not None:
            seconds = _only_timeout(parameters.timeout, wait=seconds)
        try:
            if media_type == EVENT_STREAM:
                return await self._stream(feed_request)
            page = await self._services.read(feed_request, parameters.after, bounds=parameters)
            if seconds:
                page, seconds = await self._hold(feed_request, page, media_type=media_type, seconds=seconds)
            return await self._page_response(feed_request, page, media_type=media_type, wait=seconds)
        except InvalidCursor as failure:
            raise failure.named(parameters.after_name) from None

    async def _stream(self, feed_request: FeedRequest) -> HttpResponse:
        parameters = feed_request.parameters
        page = await self._services.read(feed_request, parameters.after, bounds=stream_bounds(parameters))
        if not (page.entries or page.more) and self._services.page_reader.has_passed(parameters.until):
            return BytesResponse(204, [(b"vary", VARY)])  # a browser does not connect again (WHATWG HTML §9.2.3)
        return EventStreamResponse(self._stream_pages, feed_request, page=page)

    async def _hold(
        self, feed_request: FeedRequest, page: Page, *, media_type: str, seconds: float
    ) -> tuple[Page, float]:
        """Return the page after a wait, and the time that the request might wait: 0 if no slot is free."""
        with self._services.limits.wait(feed_request.reader) as has_slot:
            if not has_slot:
                _require_slot(feed_request.parameters, page)
                return page, 0
            oldest_time = page.oldest_time
            page = await self._wait(feed_request, page, media_type=media_type, seconds=seconds)
            return page if oldest_time is None else replace(page, oldest_time=oldest_time), seconds

    async def _wait(self, feed_request: FeedRequest, page: Page, *, media_type: str, seconds: float) -> Page:
        """Return the page as soon as it has events that the caller does not have, or as it is when the time is up."""
        parameters, page_reader = feed_request.parameters, self._services.page_reader
        if page.entries:
            link = self._link(feed_request, str(page.cursor))
            tag = self._tag(feed_request, page, media_type=media_type, link=link)
            if len(page.entries) == parameters.size or not _matches_tag(feed_request.request.fields, tag):
                return page
        deadline = asyncio.get_running_loop().time() + min(seconds, self._services.seconds_left(feed_request))
        initial_page, after = page, parameters.after
        with connected(feed_request.request.receive) as waiter:
            while not (
                page.more or page_reader.has_passed(parameters.until) or page_reader.is_stopping or waiter.is_over
            ):
                if asyncio.get_running_loop().time() >= deadline:
                    break
                past = page.cursor.position
                position = await self._services.wait(feed_request, waiter, past=past, until=deadline)
                if waiter.is_over:
                    break
                # If the caller has the entries, read from the same cursor, so that the new page contains them too.
                if not initial_page.entries:
                    after = await page_reader.cursor_at(position, log=page.cursor.log)
                page = await self._services.read(feed_request, after, bounds=parameters)
                if len(page.entries) > len(initial_page.entries) and not waiter.is_over:
                    return page
        # A client that is gone gets no events, so none are recorded.
        return initial_page if initial_page.entries or waiter.is_over else page

    async def _page_response(
        self, feed_request: FeedRequest, page: Page, *, media_type: str, wait: float
    ) -> HttpResponse:
        """Return the page, or 304. `wait` is the value of `Preference-Applied` (s, rounded up), 0 for none."""
        fields, cursor = feed_request.request.fields, str(page.cursor)
        link = self._link(feed_request, cursor)
        tag = self._tag(feed_request, page, media_type=media_type, link=link)
        is_unchanged = _matches_tag(fields, tag)
        await self._services.admit(feed_request, page, is_known=is_unchanged)
        parts = () if is_unchanged else self._body(feed_request.serialise_all, page)
        length = sum(map(len, parts))
        is_compressed = length >= COMPRESSED_BYTES_MIN and accepts_gzip(fields.get("accept-encoding", ""))
        headers = _page_headers(page, link, cursor=cursor, tag=_gzip_tag(tag) if is_compressed else tag)
        if wait:
            headers.append((b"preference-applied", b"wait=%d" % math.ceil(wait)))
        if not page.more and (is_unchanged or not page.entries):
            self._services.telemetry.poll_caught_up(
                feed_request.feed.name, "304" if is_unchanged else "wait" if wait else "empty"
            )
        if is_unchanged:
            return BytesResponse(304, headers)
        headers.append((b"content-type", media_type.encode()))
        if is_compressed:
            headers.append((b"content-encoding", b"gzip"))
        if length > WHOLE_BYTES_MAX:
            memory = functools.partial(self._services.limits.memory, feed_request.reader)
            return LargeResponse(headers, parts, memory=memory, reset=self._services.reset, compresses=is_compressed)
        body = b"".join(parts)
        if is_compressed:
            body = gzip.compress(body, COMPRESSION_LEVEL, mtime=0)
        headers.append((b"content-length", b"%d" % len(body)))
        return BytesResponse(200, headers, body=body)

    def _body(self, serialise: SerialiseAll, page: Page) -> Sequence[bytes]:
        """Return the events as a JSON array in parts. A small one is made once for all readers of the same page."""
        if not page.entries:
            return (b"[]",)
        key = serialise, page.cursor.log, page.positions
        try:
            return self._bodies[key]
        except KeyError:
            parts = serialise(page.entries)
            if sum(map(len, parts)) <= BODY_BYTES_MAX:
                parts = self._bodies[key] = (b"".join(parts),)
            return parts

    def _link(self, feed_request: FeedRequest, cursor: str) -> bytes:
        # The path as the router resolved it: without empty segments and needless escapes, and its values are ASCII.
        # The router also drops a slash at the end, which the client has sent: the next request has the same path.
        request = feed_request.request
        slash = "/" if request.scope["raw_path"].endswith(b"/") else ""
        url = f"{self._public_url.base(request.host)}{request.scope['path']}{slash}"
        return f"{url}?{feed_request.parameters.query_after(cursor)}".encode()

    def _tag(self, feed_request: FeedRequest, page: Page, *, media_type: str, link: bytes) -> str:
        """Return a strong entity tag.

        It covers the link (which contains the log name and the last position examined), the parameters, the caller's
        rights and the positions of the events. Entries never change. The digest has a key, so a client cannot compute
        the tag of a page that it has not received, and cannot use a 304 to confirm a guess.
        """
        variant = msgspec.json.encode((media_type, feed_request.reader.rights, page.more))
        tag = self._tag_digest.copy()
        tag.update(b"%b %b %b %b" % (link, variant, feed_request.parameters.json, page.positions))
        return f'"{tag.hexdigest()}"'


def _page_headers(page: Page, link: bytes, *, cursor: str, tag: str) -> list[Header]:
    """Return the headers of a page, also of one that the caller already has."""
    headers = [
        (b"link", b'<%b>; rel="next"' % link),
        (b"next", link),
        (b"feed-cursor", cursor.encode()),
        (b"feed-more", b"true" if page.more else b"false"),
        (b"feed-time", format_moment(page.cursor.time).encode()),
        (b"etag", tag.encode()),
        (b"cache-control", b"private, no-cache"),
        (b"vary", VARY),
    ]
    if page.oldest_time is not None:
        headers.append(start_header(page.oldest_time))
    return headers


def _only_timeout(timeout: float, *, wait: float) -> float:
    """Return the timeout of HTTP Feeds (s). Raises `InvalidRequest` if the header `Prefer` also asks to wait."""
    if wait:
        detail = "must not be combined with {}, which has the same meaning"
        faults = [
            Fault(parameter="timeout", detail=detail.format("the header Prefer: wait")),
            Fault(parameter="prefer", detail=detail.format("the parameter timeout")),
        ]
        raise InvalidRequest(f"Faults found: {len(faults)}.", faults=faults)
    return timeout


def _require_slot(parameters: Parameters, page: Page) -> None:
    """Raise `Unavailable` if there is no slot for a client of HTTP Feeds: after an empty page it would not pause."""
    if parameters.timeout is not None and not (page.entries or page.more):
        raise Unavailable("The service has no free slot for a long poll.", retry_seconds=RETRY_SECONDS)


def _matches_tag(fields: Mapping[str, str], tag: str) -> bool:
    """True if `If-None-Match` has this tag, in its plain or its gzip form, by weak comparison (RFC 9110 §13.1.2).

    `*` matches nothing: it would match every page, so a poll with it would never return an event.
    """
    condition = fields.get("if-none-match")
    if not condition:
        return False
    tags = {part.strip().removeprefix("W/") for part in condition.split(",")}
    return tag in tags or _gzip_tag(tag) in tags


def _gzip_tag(tag: str) -> str:
    """Return the tag of the same page in gzip: other bytes need another tag (RFC 9110 §8.8.3.3)."""
    return f'{tag[:-1]}-gzip"'


@functools.lru_cache(maxsize=256)
def negotiate(accept: str | None) -> str:
    """Return the media type of the response (RFC 9110 §12.5.1). Raises 406.

    A weight that is not valid is ignored. Of types with equal weights the one that the client names first wins.
    """
    weights = dict[str, float]()
    for part in (accept or "*/*").split(","):
        media_range, _, parameters = part.partition(";")
        weight = _WEIGHT.search(parameters)
        weights.setdefault(media_range.strip().lower(), float(weight[1]) if weight else 1.0)
    if weights.get(CLOUDEVENT) == 0:  # it also selects the array, but never excludes it
        del weights[CLOUDEVENT]
    order, choices = list(weights), dict[str, tuple[float, int]]()
    for media_type, ranges in _RANGES.items():
        if match := next((each for each in ranges if each in weights), None):
            choices[media_type] = (weights[match], -order.index(match))
    best = max(choices, key=choices.__getitem__, default=None)
    if best is None or not choices[best][0]:
        raise HTTPException(status_code=406)
    return best
