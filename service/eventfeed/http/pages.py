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

    def __init__(self, reader: Reader, addresses: Addresses) -> None:
        self._reader, self._addresses = reader, addresses

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
        tag = _tag(page, link, made_for=f"{media_type} {rights} {_asked(ask)}")
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


def _accepted(request: AnyRequest) -> str:
    """The media type to answer with."""
    best = request.accept.best_match([BATCHED, JSON], default=None) if "accept" in request.headers else BATCHED
    if best is None:
        raise HTTPException(status_code=406)
    return best


def _asked(ask: PageRequest) -> str:
    """What a page was filtered by: a POST says it in its body, not in its URL."""
    wanted = ask.query.filter
    return f"{ask.since} {ask.until} {wanted.subject} {wanted.source} {' '.join(sorted(wanted.types))}"


def _tag(page: Page, link: str, *, made_for: str) -> str:
    """A strong entity tag. The link holds log and last position examined; entries never change.

    With those, the query and the caller's rights, which entries were found is all that is left to tell.
    """
    seen = hashlib.blake2b(f"{made_for} {page.more} {link}".encode(), digest_size=16)
    for entry in page.entries:
        seen.update(entry.sequence.to_bytes(8))
    return f'"{seen.hexdigest()}"'


def _matches(condition: str, tag: str) -> bool:
    """RFC 9110 §13.1.2: weak comparison against each tag of the list, or `*`."""
    tags = [part.strip().removeprefix("W/") for part in condition.split(",")]
    return tag in tags or tags == ["*"]
