"""A feed read by its `next` links, as both this service and the platform that it replaces have them.

The platform has no other way: a page without `next` is the last one, and `after` is the id of the last event
(src/Events/Controllers/AppController.cs of Altinn/altinn-events). The last page of this service has `Feed-More: false`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from eventfeed.client import Client, FeedError
from eventfeed.client.errors import refusal
from eventfeed.client.pages import MalformedResponseError
from eventfeed.client.sender import RequestSender
from eventfeed.client.steps import Actions, Request, Response, Steps
from eventfeed.client.tokens import Tokens

_OK = 200
_HEADERS = {"Accept": "application/json"}
_TIMEOUT_SECONDS = 120.0


class FeedQuery(NamedTuple):
    """The path of a feed, and its parameters without `after`."""

    path: str
    parameters: Sequence[tuple[str, str]]

    def target(self, **more: str) -> str:
        """Return path and query of a request with more parameters."""
        return f"{self.path}?{urlencode([*more.items(), *self.parameters])}"


class LinkedPage(NamedTuple):
    """The JSON texts of a page's events, the value of `after` of the next page ("" for none), and `Feed-Time`."""

    texts: Sequence[bytes]
    after: str
    time: str


class LinkedClient(Client):
    """A client that follows `next` links, and returns events as they came."""

    def __init__(self, url: str, *, tokens: Tokens) -> None:
        super().__init__(url, tokens=tokens)
        self._sender = RequestSender(tokens)

    def linked_pages(self, query: FeedQuery, *, since: str | None) -> Iterator[Sequence[bytes]]:
        """Yield the events of each page, from a time or from the beginning. Raises `FeedError`."""
        return self._execute(self._pages(query, since=since))

    def registration(self, query: FeedQuery, *, sequence: int) -> str:
        """Return the time of registration of the event at this position, "" if the service does not say it."""
        target = FeedQuery(query.path, [each for each in query.parameters if each[0] != "size"])
        (page,) = self._execute(self._page(target.target(after=str(sequence - 1), size="1")))
        return page.time

    def _pages(self, query: FeedQuery, *, since: str | None) -> Steps[Sequence[bytes], None]:
        start = {"after": "0"} if since is None else {"from": since}
        position, positions = start, set[int]()
        while True:
            page = yield from self._fetch(query.target(**position))
            yield page.texts
            if not page.after:
                return
            if hash(page.after) in positions:
                raise FeedError(f"The link to the next page leads back to {page.after}: two events have that id.")
            positions.add(hash(page.after))
            position = {**start, "after": page.after}

    def _page(self, target: str) -> Steps[LinkedPage, None]:
        yield (yield from self._fetch(target))

    def _fetch(self, target: str) -> Actions[LinkedPage]:
        request = Request("GET", target, _HEADERS, timeout_seconds=_TIMEOUT_SECONDS)
        return (yield from self._sender.fetch(request, parse=lambda response: _parse(request, response)))


def _parse(request: Request, response: Response) -> LinkedPage:
    if response.status != _OK:
        raise refusal(request.target.partition("?")[0], response)
    try:
        texts = [bytes(text) for text in msgspec.json.decode(response.body, type=list[msgspec.Raw])]
    except (ValueError, RecursionError) as fault:
        raise MalformedResponseError(f"it is no list of events ({fault})", is_from_feed=True) from None
    is_last = response.headers.get("feed-more") == "false"
    after = "" if is_last else _after(response.headers.get("next", ""))
    return LinkedPage(texts, after, response.headers.get("feed-time", ""))


def _after(link: str) -> str:
    """Return the parameter `after` of a link, "" if there is none. The host of the link is not used."""
    # The platform does not encode it.
    values = parse_qs(urlsplit(link).query.replace("+", "%2B")).get("after", [""])
    return values[0]


class TokenFile:
    """The token in a file, which is read again when the service refuses it: another program may renew it."""

    renewable = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = ""

    def token(self, *, fresh: bool) -> Actions[str]:
        """See `Tokens.token`."""
        yield from ()
        if fresh or not self._token:
            self._token = self._path.read_text().strip()
        return self._token
