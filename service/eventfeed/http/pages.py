"""Answering for a feed: a page and its entity tag, 304, a page when something comes, or live (contract section 5)."""

import asyncio
import contextlib
import hashlib
from typing import NamedTuple

from litestar import Response
from litestar.exceptions import HTTPException
from msgspec.structs import replace

from eventfeed.domain.cursor import Bare, Cursor
from eventfeed.domain.feed import Page, PageRequest, name_of
from eventfeed.http.addresses import Addresses, AnyRequest
from eventfeed.http.live import EVENT_STREAM, Live, Source, Stream
from eventfeed.http.parameters import Parameters
from eventfeed.http.views import View
from eventfeed.http.waiting import gone, preferred_wait
from eventfeed.http.wire import BATCHED, JSON
from eventfeed.telemetry.metrics import CAUGHT_UP

# Whatever the answer depends on beside the URL.
VARY = "Accept, Authorization, Person, Prefer, Last-Event-ID"


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

    def __init__(self, source: Source, addresses: Addresses, *, secret: bytes) -> None:
        self._source, self._addresses = source, addresses
        self._secret = secret

    async def answered(self, request: AnyRequest, view: View, *, parameters: Parameters) -> Response[bytes]:
        """A page, 304 when the caller has this very page, or a stream. Raises what `Reader.read` raises."""
        asked = Asked(request, view, parameters, _accepted(request))
        ask, wait = asked.page_request(), preferred_wait(request)
        page = await self._source.reader.read(ask)
        if asked.media_type == EVENT_STREAM:
            return Stream(self._source, Live(request, view, ask, page))
        with self._source.places.wait() if wait else contextlib.nullcontext(False) as waiting:
            if waiting:
                page = await self._awaited(asked, page, seconds=wait)
        answer = await self._answer(asked, page, waited=waiting)
        if waiting:
            answer.set_header("Preference-Applied", f"wait={wait}")
        return answer

    async def _awaited(self, asked: Asked, page: Page, *, seconds: float) -> Page:
        """The page once there is something in it that the caller has not got, or as it is when the time is up."""
        ask = asked.page_request()
        if page.entries and (len(page.entries) == ask.size or not self._has(asked, page)):
            return page
        reader, deadline = self._source.reader, asyncio.get_running_loop().time() + seconds
        left, known = asyncio.create_task(gone(asked.request.receive)), page
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

    async def _answer(self, asked: Asked, page: Page, *, waited: bool) -> Response[bytes]:
        headers = {
            "Link": f'<{self._link(asked, page)}>; rel="next"',
            "next": self._link(asked, page),
            "Feed-Cursor": str(page.cursor),
            "Feed-More": "true" if page.more else "false",
            "ETag": self._tag(asked, page),
            "Cache-Control": "private, no-cache",
            "Vary": VARY,
        }
        has = self._has(asked, page)
        if has or not page.entries:
            kind = "304" if has else "wait" if waited else "empty"
            CAUGHT_UP.add(not page.more, name_of(asked.view.query.feed), kind)
        if has:
            return Response(b"", status_code=304, headers=headers, media_type=asked.media_type)
        if page.entries:
            await asked.view.recorded(page)
        # The stored events, joined: never parsed and printed again.
        body = b"[" + b",".join(map(asked.view.shown, page.entries)) + b"]"
        return Response(body, status_code=200, media_type=asked.media_type, headers=headers)

    def _link(self, asked: Asked, page: Page) -> str:
        path = asked.request.scope["raw_path"].decode("ascii")
        return f"{self._addresses.base(asked.request)}{path}?{asked.parameters.query_after(page.cursor)}"

    def _tag(self, asked: Asked, page: Page) -> str:
        """A strong entity tag. The link holds log and last position examined; entries never change.

        With those, what was asked and the caller's rights, which entries were found is all that is left to tell. Only
        who was sent a page knows its tag: who could compute one would learn from a 304 what is in a page unread.
        """
        asking = f"{asked.media_type} {asked.view.rights} {_parameters(asked.parameters)}"
        told = f"{asking} {page.more} {self._link(asked, page)}"
        seen = hashlib.blake2b(told.encode(), key=self._secret, digest_size=16)
        for entry in page.entries:
            seen.update(entry.sequence.to_bytes(8))
        return f'"{seen.hexdigest()}"'

    def _has(self, asked: Asked, page: Page) -> bool:
        """Whether the caller has this very page: weak comparison against each tag it names (RFC 9110 §13.1.2).

        `*` matches nothing: it would ask whether there is a page at all, and there always is.
        """
        condition = asked.request.headers.get("if-none-match", "")
        tags = (part.strip().removeprefix("W/") for part in condition.split(","))
        return bool(condition) and self._tag(asked, page) in tags


def _accepted(request: AnyRequest) -> str:
    """The media type to answer with."""
    forms = [BATCHED, JSON, EVENT_STREAM]
    best = request.accept.best_match(forms, default=None) if "accept" in request.headers else BATCHED
    if best is None:
        raise HTTPException(status_code=406)
    return best


def _parameters(parameters: Parameters) -> str:
    """What a page was asked by: a POST says it in its body, not in its URL. Never whom the register found by it."""
    asked = (getattr(parameters, name) for name in sorted(parameters.__struct_fields__) if name != "fields")
    return " ".join(repr(sorted(each) if isinstance(each, frozenset) else each) for each in asked)
