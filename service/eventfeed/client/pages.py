"""Pages and messages as a service sent them: only what is complete and well-formed is believed.

A proxy, a wrong address or a broken service may send anything.
"""

from collections.abc import Sequence

import msgspec

from eventfeed.client.events import Event, parse_event
from eventfeed.client.steps import Page, Response
from eventfeed.client.stream import Message

# Longer than any cursor, short enough for a URL.
_CURSOR_LENGTH_MAX = 256
_MORE = {"true": True, "false": False}


class MalformedResponseError(Exception):
    """A response that is no page of a feed. `is_from_feed`: it has a cursor, so another attempt may help."""

    def __init__(self, reason: str, *, is_from_feed: bool) -> None:
        super().__init__(f"The response is not a page of a feed: {reason}. Is this the address of an event feed?")
        self.is_from_feed = is_from_feed


def parse_page(response: Response) -> Page:
    """Return the page of a response with status 200. Raises `MalformedResponseError`."""
    cursor, more = response.headers.get("feed-cursor", ""), response.headers.get("feed-more", "")
    if not _is_cursor(cursor):
        raise MalformedResponseError("it has no valid Feed-Cursor", is_from_feed=False)
    if more not in _MORE:
        raise MalformedResponseError("it has no valid Feed-More", is_from_feed=True)
    try:
        texts = msgspec.json.decode(response.body, type=list[msgspec.Raw])
        events = [parse_event(bytes(text), cursor=cursor) for text in texts]
    except (ValueError, RecursionError) as fault:
        raise MalformedResponseError(f"it is no list of events ({fault})", is_from_feed=True) from None
    return Page(events, cursor, _MORE[more])


def parse_messages(messages: Sequence[Message]) -> Sequence[Event]:
    """Return the events of messages of a stream. Raises `MalformedResponseError`."""
    events = [each for each in messages if each.type == "message"]
    if not all(_is_cursor(each.id) for each in messages if each.id or each.type == "message"):
        raise MalformedResponseError("a message has no valid id", is_from_feed=True)
    try:
        return [parse_event(each.data, cursor=each.id) for each in events]
    except (ValueError, RecursionError) as fault:
        raise MalformedResponseError(f"a message is no event ({fault})", is_from_feed=True) from None


def _is_cursor(text: str) -> bool:
    """True if a text can be a cursor: a cursor is opaque, but it is sent in URLs and stored in files."""
    return 0 < len(text) <= _CURSOR_LENGTH_MAX and text.isascii() and text.isprintable() and " " not in text
