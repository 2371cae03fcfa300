"""The texts of pages are joined once for all who ask for the same events, and for nobody else."""

import msgspec

from eventfeed.domain.cursor import Cursor
from eventfeed.domain.event import Entry, served_reduced
from eventfeed.domain.feed import AppFeed, Page, Query
from eventfeed.http.reading.event_stream import Source
from eventfeed.http.reading.pages import JOINED_MAX, Pages
from eventfeed.http.reading.representation import View
from eventfeed.http.request import PublicUrl
from tests.support.events import TTD, entry, event


def pages() -> Pages:
    """As the service has them, without a log."""
    none: Source = None  # type: ignore[assignment]  # nothing is read
    return Pages(none, PublicUrl(public_url="https://x.example.no", own_url=""), secret=b"secret")


def body(of: Pages, found: Entry, *, log: str = "a" * 12, view: View | None = None) -> list[dict[str, object]]:
    """What is sent of one entry of a log."""
    page = Page(
        entries=[found],
        cursor=Cursor(log=log, position=found.sequence),
        more=False,
        places=found.sequence.to_bytes(8, "little"),
    )
    sent = of._body(view or View(Query(feed=AppFeed(app=TTD)), "all", caller="x"), page)
    return msgspec.json.decode(sent, type=list[dict[str, object]])


def test_a_log_of_a_new_name_has_its_own_texts() -> None:
    """After a restore another event may stand at the place of one that was shown before."""
    here = pages()
    first, second = body(here, entry(7, of=event("old"))), body(here, entry(7, of=event("new")), log="b" * 12)

    assert ["old", "new"] == [first[0]["id"], second[0]["id"]]


def test_what_is_reduced_is_joined_for_itself() -> None:
    """Who may see the whole event and who may not ask for the same place."""
    here, found = pages(), entry(7, of=event("a", size=20))
    found = msgspec.structs.replace(
        found,
        event=msgspec.structs.replace(
            found.event, body=b'{"specversion":"1.0","id":"a","source":"x","type":"t","time":"x","data":"secret"}'
        ),
    )
    anyone = View(Query(feed=AppFeed(app=TTD)), "anyone", caller="x", shown=served_reduced)
    whole, reduced = body(here, found), body(here, found, view=anyone)

    assert [True, False] == ["data" in whole[0], "data" in reduced[0]]


def test_few_are_kept() -> None:
    """The oldest make room."""
    here = pages()
    for place in range(1, 2 * JOINED_MAX):
        body(here, entry(place))

    assert JOINED_MAX == len(here._joined)
