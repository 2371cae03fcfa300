"""Bodies of pages, created once for all readers of the same events."""

from collections.abc import Callable

import msgspec

from eventfeed.domain.cursor import Cursor
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Page
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.reading.feed_request import ReadingServices
from eventfeed.http.reading.pages import BODIES_MAX, BODY_BYTES_MAX, Pages
from eventfeed.http.reading.representation import entry_json, public_json
from tests.support.events import entry, event


def new_pages() -> Pages:
    """Pages as the service has them, without a log."""
    services: ReadingServices = None  # type: ignore[assignment]  # nothing is read
    return Pages(services, PublicUrl(public_url="https://x.example.no", own_url=""), secret=b"secret")


def page_of(entry: Entry, *, log: str = "a" * 12) -> Page:
    """A page with one entry of a log."""
    return Page(
        entries=[entry],
        cursor=Cursor(log=log, position=entry.sequence),
        more=False,
        positions=entry.sequence.to_bytes(8, "little"),
    )


def body_events(
    pages: Pages, page: Page, *, serialise: Callable[[Entry], bytes] = entry_json
) -> list[dict[str, object]]:
    """The events in the body of a page."""
    return msgspec.json.decode(pages._body(serialise, page), type=list[dict[str, object]])


def test_cache_separates_the_bodies_of_two_logs() -> None:
    """After a restore, a position may have another event."""
    pages = new_pages()
    first = body_events(pages, page_of(entry(7, of=event("old"))))
    second = body_events(pages, page_of(entry(7, of=event("new")), log="b" * 12))

    assert ["old", "new"] == [first[0]["id"], second[0]["id"]]


def test_cache_separates_public_and_whole_bodies() -> None:
    """Readers with and without the right to the whole event read the same position."""
    pages = new_pages()
    body = b'{"specversion":"1.0","id":"a","source":"x","type":"t","time":"x","data":"secret"}'
    page = page_of(entry(7, of=msgspec.structs.replace(event(), body=body)))
    whole, public = body_events(pages, page), body_events(pages, page, serialise=public_json)

    assert [True, False] == ["data" in whole[0], "data" in public[0]]


def test_body_of_the_same_page_is_created_once() -> None:
    """The second reader gets the same bytes object."""
    pages, page = new_pages(), page_of(entry(7))

    assert pages._body(entry_json, page) is pages._body(entry_json, page)


def test_body_over_the_size_limit_is_not_cached() -> None:
    """The cache is bounded in bytes."""
    pages = new_pages()
    body_events(pages, page_of(entry(7, of=event(size=BODY_BYTES_MAX))))

    assert 0 == len(pages._bodies)


def test_oldest_body_is_evicted_at_the_limit() -> None:
    """The cache is bounded in the number of bodies."""
    pages = new_pages()
    for position in range(1, 2 * BODIES_MAX):
        body_events(pages, page_of(entry(position)))

    assert BODIES_MAX == len(pages._bodies)
