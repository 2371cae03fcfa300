"""Following a feed without losing the place: what to ask, when to come back, and what to make of each answer.

No sockets and no clock here: `Following` yields steps, a driver does them. It streams; where streams do not get
through it waits at the service, and where that is not done either it asks each second. A place is only where the
consumer has been: the cursor moves when it comes back for more.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TypeGuard

import msgspec

from eventfeed.client.errors import FeedError, OutOfOrderError, UnreachableError, refusal
from eventfeed.client.events import Event, event_of
from eventfeed.client.feeds import Feed
from eventfeed.client.steps import Answer, Broken, More, Opened, Outcome, Page, Pause, Request, Steps
from eventfeed.client.stream import Message, StreamParser
from eventfeed.client.tokens import PASSING, NotNowError, Tokens

EVENT_STREAM = "text/event-stream"
PAGES = "application/cloudevents-batch+json"
# The service sends a heartbeat each 15 s; two of them missing is a broken line.
SILENCE_SECONDS_MAX = 40.0
WAIT_SECONDS = 30
ANSWER_SECONDS_MAX = 30.0
# Where nobody waits at the service, a question a second, and fewer while nothing comes.
POLL_SECONDS = 1.0
POLL_SECONDS_MAX = 10.0
# So many polls before a stream is tried again: about a minute of waiting ones.
POLLS_BEFORE_STREAM = 3
BACKOFF_SECONDS = 0.5
BACKOFF_SECONDS_MAX = 20.0
RETRY_AFTER_SECONDS_MAX = 300.0
READ_TRIES_MAX = 10
# A connection that breaks each time, and never has brought an answer, is to something else.
STRANGERS_TRIES_MAX = 5
# A stream that brought so many chunks was a good one.
LIVELY_CHUNKS = 3
UNAUTHORIZED = 401
# Answers to a stream's request that say no more than that there is none now.
_NO_STREAM = frozenset({200, 406, 429, 500, 502, 503, 504})


class Following:
    """A feed from a place on. Run `follow` for ever, or `read` until it has caught up; `cursor` is the place."""

    def __init__(
        self,
        feed: Feed,
        tokens: Tokens,
        *,
        after: str,
        size: int | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._feed, self._tokens, self._size, self._random = feed, tokens, size, random
        self.cursor = after
        # The last sequence that the consumer has been given.
        self._last = -1
        # Of the page that the cursor ends, while nothing has moved.
        self._tag = ""
        self._reached = False
        self._tries: int | None = None
        self._failures = self._idle = 0
        self._refused_token = False

    def follow(self) -> Steps[None]:
        """For ever. Raises what a person must decide on."""
        while True:
            if not (yield from self._stream()):
                for _ in range(POLLS_BEFORE_STREAM):
                    yield from self._poll(wait=True)

    def read(self, *, tries: int = READ_TRIES_MAX) -> Steps[None]:
        """Until the feed is read to its end. So many `tries` in a row may fail: as many as take about two minutes."""
        self._tries = tries
        while (yield from self._poll(wait=False)):
            pass

    def _stream(self) -> Steps[bool]:
        """Read a stream until it ends; False when streams do not get through."""
        outcome = yield from self._asked({"Accept": EVENT_STREAM}, streaming=True)
        if isinstance(outcome, Answer):
            if outcome.status not in _NO_STREAM:
                raise refusal(self._feed.path, outcome)
            return False
        parser, heard = StreamParser(), 0
        while True:
            chunk = yield More()
            if not isinstance(chunk, bytes) or not chunk:
                if heard > LIVELY_CHUNKS:
                    self._failures = 0
                yield from self._back_off()
                return heard > 0 or not (isinstance(chunk, Broken) and chunk.silent)
            heard += 1
            if (yield from self._heard(parser, chunk)):
                return True

    def _heard(self, parser: StreamParser, chunk: bytes) -> Steps[bool]:
        """Hand on what a stream has brought; whether it said that it ends."""
        before = parser.last_id
        try:
            messages = list(parser.feed(chunk))
        except ValueError as fault:
            raise FeedError(str(fault)) from None
        events = [_event(message) for message in messages if message.type == "message"]
        if parser.last_id != before:
            yield from self._hand_on(events, parser.last_id, more=True)
        for message in messages:
            if message.type == "end":
                yield from self._ended(message.data)
                return True
        return False

    def _ended(self, problem: bytes) -> Steps[None]:
        """The service ended a stream and said why."""
        refused = refusal(self._feed.path, Answer(503, {}, problem))
        if refused.status in PASSING:
            yield from self._back_off()
        elif refused.status == UNAUTHORIZED and self._tokens.renewable:
            self._refused_token = True
        else:
            raise refused

    def _poll(self, *, wait: bool) -> Steps[bool]:
        """Ask for a page; whether there is more at once."""
        headers = {"Accept": PAGES, **({"Prefer": f"wait={WAIT_SECONDS}"} if wait else {})}
        answer = yield from self._asked(headers | ({"If-None-Match": self._tag} if self._tag else {}))
        if isinstance(answer, Opened):
            raise FeedError("A page was asked for, and a stream came.")
        cursor = answer.headers.get("feed-cursor", self.cursor)
        more = answer.headers.get("feed-more") == "true"
        if answer.status == 200:
            log = cursor.partition(".")[0]
            events = [event_of(bytes(raw), log=log) for raw in _listed(answer)]
            came = bool(events) or cursor != self.cursor
            yield from self._hand_on(events, cursor, more=more)
            self._tag = "" if came else answer.headers.get("etag", "")
        elif answer.status == 304:
            came = False
        else:
            raise refusal(self._feed.path, answer)
        self._idle = 0 if came else self._idle + 1
        if wait and not more and "preference-applied" not in answer.headers:
            yield Pause(min(POLL_SECONDS * 2 ** min(self._idle, 10), POLL_SECONDS_MAX))
        return more

    def _hand_on(self, events: Sequence[Event], cursor: str, *, more: bool) -> Steps[None]:
        """Give the consumer what it has not had, and the cursor. When it comes back, that is its place."""
        fresh = [event for event in events if event.sequence > self._last]
        for one, other in pairwise(events):
            if one.sequence >= other.sequence:
                raise OutOfOrderError(f"Event {other.sequence} came after {one.sequence}.")
        if fresh or cursor != self.cursor or not more:
            yield Page(fresh, cursor, more)
        self.cursor = cursor
        if fresh:
            self._failures, self._last = 0, fresh[-1].sequence

    def _asked(self, headers: Mapping[str, str], *, streaming: bool = False) -> Steps[Answer | Opened]:
        """What the service says of the feed after the cursor, when it says anything. Raises when patience has ended."""
        renewed = False
        while True:
            try:
                token = yield from self._tokens.token(fresh=self._refused_token)
            except NotNowError as failure:
                yield from self._try_later(failure.outcome)
                continue
            self._refused_token = False
            outcome = yield self._request(headers, token, streaming=streaming)
            if isinstance(outcome, Opened) or (streaming and _says_no_stream(outcome)):
                self._reached = True
                return outcome
            if not isinstance(outcome, Answer) or outcome.status in PASSING:
                yield from self._try_later(outcome)
            elif outcome.status == UNAUTHORIZED and self._tokens.renewable and not renewed:
                self._refused_token = renewed = True
            else:
                self._reached, self._failures = True, 0
                return outcome

    def _request(self, headers: Mapping[str, str], token: str, *, streaming: bool) -> Request:
        place = [("after", self.cursor), *([("size", str(self._size))] if self._size else [])]
        sent = {**headers, **({"Authorization": f"Bearer {token}"} if token else {})}
        if self._feed.posted:
            sent["Content-Type"] = "application/json"
        seconds = SILENCE_SECONDS_MAX if streaming else ANSWER_SECONDS_MAX + WAIT_SECONDS * ("Prefer" in headers)
        return Request(
            self._feed.method,
            self._feed.target(place),
            sent,
            self._feed.content(),
            seconds=seconds,
            streaming=streaming,
        )

    def _try_later(self, outcome: Outcome) -> Steps[None]:
        """Wait, unless nobody was ever there, or patience has ended."""
        given_up = self._tries is not None and self._failures + 1 >= self._tries
        if isinstance(outcome, Answer):
            self._reached = True
            if given_up:
                raise refusal(self._feed.path, outcome)
            yield from self._back_off(outcome.headers.get("retry-after", ""))
            return
        broken = outcome if isinstance(outcome, Broken) else Broken("no answer")
        nobody = not self._reached and (broken.refused or self._failures >= STRANGERS_TRIES_MAX)
        if given_up or nobody:
            raise UnreachableError(broken.reason)
        yield from self._back_off()

    def _back_off(self, told: str = "") -> Steps[None]:
        """Wait as long as told, and a random while that doubles with each failure."""
        most = min(BACKOFF_SECONDS * 2 ** min(self._failures, 10), BACKOFF_SECONDS_MAX)
        self._failures += 1
        at_least = min(float(told), RETRY_AFTER_SECONDS_MAX) if told.isdecimal() else 0.0
        yield Pause(at_least + most * self._random())


def _says_no_stream(outcome: Outcome) -> TypeGuard[Answer]:
    return isinstance(outcome, Answer) and outcome.status in _NO_STREAM


def _event(message: Message) -> Event:
    return event_of(message.data, log=message.id.partition(".")[0])


def _listed(answer: Answer) -> Iterable[msgspec.Raw]:
    try:
        return msgspec.json.decode(answer.body, type=list[msgspec.Raw])
    except msgspec.DecodeError:
        raise FeedError("The answer is no list of events: is this address an event feed's?") from None
