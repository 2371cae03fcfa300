"""Store files of every layout that a release has written: today's code opens them, reads them and appends to them."""

import base64
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from eventfeed.domain.approval import AuditRange
from eventfeed.domain.cursor import Cursor
from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.feed import Feed, app_feed, instance_feed, party_feed, reportee_feed, resource_feed
from eventfeed.domain.moment import format_moment
from eventfeed.domain.publishing import Submission
from eventfeed.http.publishing.cloudevents import EventDefaults, json_events, parse_events
from eventfeed.log.sqlite.log import SqliteLog
from eventfeed.records.sqlite import SqliteRecords
from tests.support.engines import ManualClock, open_sqlite_log, running_appender
from tests.support.events import caller, entry

LAYOUTS = sorted((Path(__file__).parents[3] / "fixtures").glob("sqlite-layout-*"))
SKD_APP = App(org="skd", name="naering")
READER = caller(user="1")
FEEDS: dict[str, tuple[Feed, list[int]]] = {
    "app": (app_feed(SKD_APP), [3, 5]),
    "party": (party_feed("/party/50000001", READER), [2]),
    "resource": (resource_feed("urn:altinn:resource:skd-dialog", READER), [4]),
    "resource of an app": (resource_feed("urn:altinn:resource:app_ttd_bolig", READER), [2]),
    "reportees": (reportee_feed(["instance.created", "instance.deleted"]), [3, 5]),
    "instance": (instance_feed("7c9e6679-7425-40de-944b-e07fc1f90ae7", None), [3, 5]),
}


class StoredEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as the release that wrote the file read it."""

    sequence: int
    time: int
    write_id: str
    source: str
    id: str
    type: str
    subject: str | None
    app: tuple[str, str] | None
    instance: str | None
    resource: str | None
    content: str
    body: str

    def entry(self) -> Entry:
        """Return the entry as a value of today's code."""
        event = Event(
            identity=Identity(source=self.source, id=self.id),
            type=self.type,
            subject=self.subject,
            app=None if self.app is None else App(org=self.app[0], name=self.app[1]),
            instance=self.instance,
            resource=self.resource,
            content=base64.b64decode(self.content),
            body=self.body.encode(),
        )
        return Entry(sequence=self.sequence, time=self.time, write_id=self.write_id, event=event)


@pytest.fixture(params=LAYOUTS, ids=lambda layout: layout.name)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the files of each layout."""
    return Path(shutil.copytree(request.param, tmp_path / "store"))


@pytest.fixture
async def log(folder: Path) -> AsyncIterator[SqliteLog]:
    """The log in the file."""
    async with open_sqlite_log(folder / "log.db") as log:
        yield log


@pytest.fixture
def population(folder: Path) -> list[Entry]:
    """The entries of the log, as they were when the file was written."""
    stored_entries = msgspec.json.decode((folder / "entries.json").read_bytes(), type=list[StoredEntry])
    return [each.entry() for each in stored_entries]


async def test_log_of_an_earlier_layout_has_the_same_entries(log: SqliteLog, population: list[Entry]) -> None:
    """The ends of the log, its name and every entry are the same."""
    head = await log.head()

    assert "layouttwo001.6" == str(Cursor(log=head.log, position=head.end_offset))
    assert (1, population[-1].time) == (head.log_start, head.time)
    assert population == await log.follow(after=head.log_start, limit=100)


@pytest.mark.parametrize("name", FEEDS)
async def test_feed_of_an_earlier_layout_has_the_same_entries(log: SqliteLog, name: str) -> None:
    """Each index of the file finds its entries."""
    feed, sequences = FEEDS[name]
    scan = await log.scan(feed, after=1, through=6, limit=9)

    assert (sequences, 6) == ([each.sequence for each in scan.entries], scan.examined)


async def test_repeated_publish_to_an_earlier_layout_is_a_duplicate(log: SqliteLog, population: list[Entry]) -> None:
    """The content of an event has the same digest as before, so a publisher can repeat it after an upgrade."""
    first = next(each for each in population if each.event.identity.id == "naering-1")
    defaults = EventDefaults(new_id=lambda: "unused", now=first.time, time=format_moment(first.time))
    events = parse_events(json_events(first.event.body, batch=False), defaults, from_app=True)
    async with running_appender(log, clock=ManualClock(population[-1].time + 1)) as (appender, _):
        (receipt,) = await appender.publish(Submission(events=events, pointers=[""], admin=True))

    assert events[0].body != first.event.body  # today's events have the resource of their app
    assert [first] == await log.follow(after=first.sequence - 1, limit=1)
    assert (first.sequence, first.time, True) == (receipt.sequence, receipt.time, receipt.duplicate)


async def test_append_to_an_earlier_layout_follows_its_end(log: SqliteLog, population: list[Entry]) -> None:
    """The sequence continues."""
    new = entry(7, time=population[-1].time + 1)
    await log.append([new], after=6)

    assert [*population, new] == await log.follow(after=1, limit=100)


async def test_records_of_an_earlier_layout_are_the_same(folder: Path) -> None:
    """An approval holds, a withdrawn one does not, and the audit log is whole."""
    records = SqliteRecords(folder / "log.access.db")
    await records.open()
    approval = await records.approval("310000033")
    withdrawal = await records.approval("310000044")
    actions = [each.action async for each in records.entries(AuditRange())]
    await records.close()

    assert approval is not None
    assert (["instance.created", "instance.deleted"], 2**50, "avtale 1") == (
        approval.types,
        approval.valid_to,
        approval.reason,
    )
    assert withdrawal is None
    assert ["approve", "read"] == actions
