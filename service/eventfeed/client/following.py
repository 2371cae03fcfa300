"""Reading a feed without losing the position, as steps without sockets or a clock.

It streams. If streams do not get through, it uses long polls; if the service does not support them, it polls at
intervals. The cursor moves when the consumer asks for more, so it never passes events that the consumer has not seen.
"""

import logging
import random
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from eventfeed.client.errors import OutOfOrderError, problem_of, refusal
from eventfeed.client.events import Event
from eventfeed.client.feeds import Feed
from eventfeed.client.pages import MalformedResponseError, parse_messages, parse_page
from eventfeed.client.sender import STATUS_UNAUTHORIZED, TRIES_MAX, RequestSender
from eventfeed.client.steps import Actions, ConnectionFailure, Page, Pause, ReadChunk, Request, Response, Steps
from eventfeed.client.stream import StreamParser
from eventfeed.client.tokens import TEMPORARY_STATUSES, Tokens

_log = logging.getLogger(__name__)

EVENT_STREAM = "text/event-stream"
PAGES = "application/cloudevents-batch+json"
# The service sends a heartbeat each 15 s; if two are missing, the connection is broken.
SILENCE_SECONDS_MAX = 40.0
WAIT_SECONDS = 30
RESPONSE_SECONDS_MAX = 30.0
# Without long polls: a poll each second, and fewer while no events come.
POLL_SECONDS = 1.0
POLL_SECONDS_MAX = 10.0
# After this number of polls a stream is tried again: about a minute of long polls.
POLLS_BEFORE_STREAM = 3
# A stream that brought more chunks was not broken from the start.
FIRST_CHUNKS = 3
STATUS_OK, STATUS_NOT_MODIFIED, STATUS_UNAVAILABLE = 200, 304, 503
ERROR_STATUSES = range(400, 600)
# The time in `Feed-Start`.
_START = re.compile(r"[0-9T:.Z-]{20,40}", re.ASCII)
# Responses to a request for a stream that mean only that there is no stream at the moment.
_NO_STREAM = TEMPORARY_STATUSES | {200, 406}


class Following:
    """A feed from a cursor on. Run `follow` without an end, or `read` to the end of the log. Use either once."""

    def __init__(
        self,
        feed: Feed,
        tokens: Tokens,
        *,
        after: str,
        size: int | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._feed, self._size, self.cursor = feed, size, after
        self._sender = RequestSender(tokens, tries_max=None, random=random)
        self._last_sequence = -1
        # The tag of the empty page after the cursor; "" after a page that moved it.
        self._tag = ""
        self._empty_pages = 0
        self._has_warned = False

    def follow(self) -> Steps[Page, None]:
        """Follow without an end. Raises `FeedError` for an error that a retry cannot solve."""
        while True:
            if not (yield from self._stream()):
                for _ in range(POLLS_BEFORE_STREAM):
                    yield from self._poll(wait=True)

    def read(self, *, tries_max: int = TRIES_MAX) -> Steps[Page, None]:
        """Read to the end of the feed. `tries_max` bounds the failures in a row."""
        self._sender.tries_max = tries_max
        while (yield from self._poll(wait=False)):
            pass

    def _stream(self) -> Steps[Page, bool]:
        """Read a stream until it ends. Return False if streams do not get through."""
        request = self._request({"Accept": EVENT_STREAM}, is_stream=True)
        response = yield from self._sender.open(request, final=_NO_STREAM)
        if isinstance(response, Response):
            if response.status not in _NO_STREAM:
                raise refusal(self._feed.path, response)
            return False
        self._warn_of_start(response.headers)
        parser, chunks = StreamParser(), 0
        while True:
            chunk = yield ReadChunk()
            if not isinstance(chunk, bytes) or not chunk:
                if chunks > FIRST_CHUNKS:
                    self._sender.reset_delays()
                yield from self._sender.back_off()
                return chunks > 0 or not (isinstance(chunk, ConnectionFailure) and chunk.is_timeout)
            chunks += 1
            try:
                if (yield from self._handle_chunk(parser, chunk)):
                    return True
            except MalformedResponseError as fault:
                yield from self._sender.retry_malformed(fault)
                return True

    def _handle_chunk(self, parser: StreamParser, chunk: bytes) -> Steps[Page, bool]:
        """Pass on the events of a chunk. Return True if the service ended the stream."""
        previous_id = parser.last_id
        try:
            messages = list(parser.feed(chunk))
        except ValueError as fault:
            raise MalformedResponseError(str(fault), is_from_feed=True) from None
        events = parse_messages(messages)
        if parser.last_id != previous_id:
            yield from self._pass_on(events, parser.last_id, more=True)
        for message in messages:
            if message.type == "end":
                yield from self._handle_end(message.data)
                return True
        return False

    def _handle_end(self, problem: bytes) -> Actions[None]:
        """Prepare the next request after the service ended a stream with a problem. Raises if it is permanent."""
        status = problem_of(problem).get("status")
        if not isinstance(status, int) or status not in ERROR_STATUSES:
            status = STATUS_UNAVAILABLE
        end = refusal(self._feed.path, Response(status, {}, problem))
        if end.status in TEMPORARY_STATUSES:
            yield from self._sender.back_off()
        elif end.status != STATUS_UNAUTHORIZED or not self._sender.renew_token():
            raise end

    def _poll(self, *, wait: bool) -> Steps[Page, bool]:
        """Get a page. Return True if there are more events immediately."""
        headers = {"Accept": PAGES, **({"Prefer": f"wait={WAIT_SECONDS}"} if wait else {})}
        headers |= {"If-None-Match": self._tag} if self._tag else {}
        response, page = yield from self._sender.fetch(self._request(headers), parse=self._parse)
        self._warn_of_start(response.headers)
        has_moved = page.cursor != self.cursor
        if response.status == STATUS_OK:
            yield from self._pass_on(page.events, page.cursor, more=page.more)
            self._tag = "" if has_moved else _entity_tag(response)
        self._empty_pages = 0 if has_moved else self._empty_pages + 1
        if wait and not page.more and "preference-applied" not in response.headers:
            yield Pause(min(POLL_SECONDS * 2 ** min(self._empty_pages, 10), POLL_SECONDS_MAX))
        return page.more

    def _parse(self, response: Response) -> tuple[Response, Page]:
        """Return a response with its page. Raises if it is none, or if its cursor does not move."""
        if response.status == STATUS_NOT_MODIFIED and self._tag:
            return response, Page([], self.cursor, more=False)
        if response.status != STATUS_OK:
            raise refusal(self._feed.path, response)
        page = parse_page(response)
        if page.cursor == self.cursor and (page.events or page.more):
            raise OutOfOrderError(f"The response has more events, but its cursor stays at {page.cursor}.")
        return response, page

    def _pass_on(self, events: Sequence[Event], cursor: str, *, more: bool) -> Steps[Page, None]:
        """Yield the events that the consumer has not had, and the cursor. Move the cursor when the consumer returns."""
        for event, successor in pairwise(events):
            if event.sequence >= successor.sequence:
                raise OutOfOrderError(f"Event {successor.sequence} came after {event.sequence}.")
        fresh = [event for event in events if event.sequence > self._last_sequence]
        if fresh or cursor != self.cursor or not more:
            yield Page(fresh, cursor, more)
        self.cursor = cursor
        if fresh:
            self._sender.reset_delays()
            self._last_sequence = fresh[-1].sequence

    def _warn_of_start(self, headers: Mapping[str, str]) -> None:
        """Log once that the log begins later than the request asks for: without a set-up, on standard error."""
        start = headers.get("feed-start", "")
        if _START.fullmatch(start) and not self._has_warned:
            self._has_warned = True
            _log.warning("The log has no events from before %s. The feed %s begins there.", start, self._feed.path)

    def _request(self, headers: Mapping[str, str], *, is_stream: bool = False) -> Request:
        parameters = [("after", self.cursor), *([("size", str(self._size))] if self._size else [])]
        timeout = SILENCE_SECONDS_MAX if is_stream else RESPONSE_SECONDS_MAX + WAIT_SECONDS * ("Prefer" in headers)
        return Request(
            self._feed.method,
            self._feed.target(parameters),
            {**headers, **({"Content-Type": "application/json"} if self._feed.filters_in_body else {})},
            self._feed.content(),
            timeout_seconds=timeout,
            is_stream=is_stream,
        )


def _entity_tag(response: Response) -> str:
    """Return the entity tag; "" if there is none that can be sent back."""
    tag = response.headers.get("etag", "")
    return tag if tag.isascii() and tag.isprintable() else ""
