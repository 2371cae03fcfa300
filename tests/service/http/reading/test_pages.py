"""Bodies of pages, created once for all readers of the same events."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.exceptions import HTTPException

from eventfeed.domain.cursor import Cursor
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Page
from eventfeed.domain.page_entries import EntryList
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.reading.event_stream import EVENT_STREAM
from eventfeed.http.reading.feed_request import ReadingServices
from eventfeed.http.reading.pages import BODIES_MAX, BODY_BYTES_MAX, Pages, negotiate
from eventfeed.http.reading.representation import SerialiseAll, public_array, whole_array
from eventfeed.http.response import CLOUDEVENT_BATCH as BATCH
from eventfeed.http.response import JSON
from tests.support.events import entry, event


def new_pages() -> Pages:
    """Pages as the service has them, without a log."""
    services: ReadingServices = None  # type: ignore[assignment]  # nothing is read
    return Pages(services, PublicUrl(public_url="https://x.example.no", own_url=""), secret=b"secret")


def page_of(entry: Entry, *, log: str = "a" * 12) -> Page:
    """A page with one entry of a log."""
    return Page(
        entries=EntryList([entry]),
        cursor=Cursor(log=log, position=entry.sequence),
        more=False,
        positions=entry.sequence.to_bytes(8, "little"),
    )


def body_events(pages: Pages, page: Page, *, serialise: SerialiseAll = whole_array) -> list[dict[str, object]]:
    """The events in the body of a page."""
    return msgspec.json.decode(b"".join(pages._body(serialise, page)), type=list[dict[str, object]])


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
    whole, public = body_events(pages, page), body_events(pages, page, serialise=public_array)

    assert [True, False] == ["data" in whole[0], "data" in public[0]]


def test_body_of_the_same_page_is_created_once() -> None:
    """The second reader gets the same bytes object."""
    pages, page = new_pages(), page_of(entry(7))

    assert pages._body(whole_array, page) is pages._body(whole_array, page)


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


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, BATCH),
        ("", BATCH),
        ("*/*", BATCH),
        ("application/*;q=0.1", BATCH),
        ("application/json", JSON),
        ("APPLICATION/JSON; charset=utf-8", JSON),
        ("application/json, */*", JSON),
        ("application/json;q=0.5, */*;q=0.6", BATCH),
        ("text/html, application/json;q=0.2", JSON),
        ("application/cloudevents+json", BATCH),
        ("application/cloudevents+json, application/json", BATCH),
        ("application/cloudevents+json;q=0, */*", BATCH),
        ("text/event-stream", EVENT_STREAM),
        ("text/event-stream, application/json", EVENT_STREAM),
        ("application/json, text/event-stream", JSON),
        ("application/json;q=0, */*", BATCH),
        ("application/cloudevents-batch+json;q=0, */*", JSON),
        ("application/json;q=inf", JSON),
        ("application/json;q=nan, text/html", JSON),
        ("application/json;q=1e999", JSON),
        ("application/json;q=-1", JSON),
        ("application/json;q=", JSON),
        ("application/json;q=0.1234", JSON),
        (",, ,application/json,", JSON),
    ],
)
def test_accept_names_the_media_type_of_a_page(accept: str | None, media_type: str) -> None:
    """The most specific range decides. A weight that is not valid is ignored."""
    assert media_type == negotiate(accept)


@pytest.mark.parametrize(
    "accept",
    ["text/html", "text/*", "application/json;q=0", "*/*;q=0.000", "text/event-stream;q=0", "x", ";q=1", "application"],
)
def test_accept_without_an_available_type_is_refused_with_406(accept: str) -> None:
    """A weight of 0 excludes a type, and only its own name selects a stream."""
    with pytest.raises(HTTPException) as refusal:
        negotiate(accept)

    assert 406 == refusal.value.status_code


@given(
    accept=st.text(alphabet=st.sampled_from('application/jsontext*;q=0.1,inf"\t ') | st.characters(max_codepoint=255))
)
def test_any_accept_header_is_negotiated_or_refused(accept: str) -> None:
    """No text causes another error."""
    with contextlib.suppress(HTTPException):
        assert negotiate(accept) in (BATCH, JSON, EVENT_STREAM)
