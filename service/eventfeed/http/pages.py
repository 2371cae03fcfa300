"""Answering with a page: its headers, its entity tag, and 304 to whoever has it already (contract section 5)."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from litestar import Response
from litestar.exceptions import HTTPException

from eventfeed.domain.cursor import Bare
from eventfeed.domain.event import Entry, served
from eventfeed.domain.feed import Page, PageRequest, Query
from eventfeed.http.addresses import Addresses, AnyRequest
from eventfeed.http.parameters import Parameters
from eventfeed.http.wire import BATCHED, JSON
from eventfeed.log.reader import Reader

# Whatever the answer depends on beside the URL.
_VARY = "Accept, Authorization, Person"


class Answered(NamedTuple):
    """An answer, and the page that was made for it, sent or not."""

    response: Response[bytes]
    page: Page


class Pages:
    """Answers questions for pages."""

    def __init__(self, reader: Reader, addresses: Addresses, *, secret: bytes) -> None:
        self._reader, self._addresses = reader, addresses
        self._secret = secret

    async def answered(
        self,
        request: AnyRequest,
        query: Query,
        *,
        parameters: Parameters,
        rights: str,
        shown: Callable[[Entry], bytes] = served,
    ) -> Answered:
        """A page, or 304 when the caller has this very page.

        `rights` tell whose view it is, `shown` what of an event is sent. Raises what `Reader.read` raises.
        """
        media_type = _accepted(request)
        ask = PageRequest(
            query=query,
            size=parameters.size,
            after=Bare(position=0) if parameters.after is None else parameters.after,
            since=parameters.since,
            until=parameters.until,
        )
        page = await self._reader.read(ask)
        path = request.scope["raw_path"].decode("ascii")
        link = f"{self._addresses.base(request)}{path}?{parameters.query_after(page.cursor)}"
        tag = self._tag(page, link, made_for=f"{media_type} {rights} {_asked(parameters)}")
        headers = {
            "Link": f'<{link}>; rel="next"',
            "next": link,
            "Feed-Cursor": str(page.cursor),
            "Feed-More": "true" if page.more else "false",
            "ETag": tag,
            "Cache-Control": "private, no-cache",
            "Vary": _VARY,
        }
        if _matches(request.headers.get("if-none-match", ""), tag):
            return Answered(Response(b"", status_code=304, headers=headers, media_type=media_type), page)
        # The stored events, joined: never parsed and printed again.
        body = b"[" + b",".join(map(shown, page.entries)) + b"]"
        return Answered(Response(body, status_code=200, media_type=media_type, headers=headers), page)

    def _tag(self, page: Page, link: str, *, made_for: str) -> str:
        """A strong entity tag. The link holds log and last position examined; entries never change.

        With those, what was asked and the caller's rights, which entries were found is all that is left to tell. Only
        who was sent a page knows its tag: who could compute one would learn from a 304 what is in a page unread.
        """
        seen = hashlib.blake2b(f"{made_for} {page.more} {link}".encode(), key=self._secret, digest_size=16)
        for entry in page.entries:
            seen.update(entry.sequence.to_bytes(8))
        return f'"{seen.hexdigest()}"'


def _accepted(request: AnyRequest) -> str:
    """The media type to answer with."""
    best = request.accept.best_match([BATCHED, JSON], default=None) if "accept" in request.headers else BATCHED
    if best is None:
        raise HTTPException(status_code=406)
    return best


def _asked(parameters: Parameters) -> str:
    """What a page was asked by: a POST says it in its body, not in its URL. Never whom the register found by it."""
    asked = (getattr(parameters, name) for name in sorted(parameters.__struct_fields__) if name != "fields")
    return " ".join(repr(sorted(each) if isinstance(each, frozenset) else each) for each in asked)


def _matches(condition: str, tag: str) -> bool:
    """RFC 9110 §13.1.2: weak comparison against each tag of the list.

    `*` matches nothing: it would ask whether there is a page at all, and there always is.
    """
    return tag in (part.strip().removeprefix("W/") for part in condition.split(","))
