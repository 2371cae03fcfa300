"""Damage of a log in Cosmos DB is named: a failure with its position, never a defect, and never a second log."""

import base64
import contextlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec
import pytest
from azure.cosmos import PartitionKey

from eventfeed.domain.approval import AuditEntry, AuditRange
from eventfeed.domain.errors import LogDamaged, Unavailable
from eventfeed.domain.feed import app_feed
from eventfeed.log.cosmos import damage as damage_module
from eventfeed.log.cosmos import manifest as manifest_module
from eventfeed.log.cosmos import retry
from eventfeed.log.cosmos.containers import COMMITS, RECORDS
from eventfeed.log.cosmos.database import Database, Document
from eventfeed.log.cosmos.documents import document_id
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.records.cosmos import CosmosRecords
from tests.emulator.running import new_database, open_log, skip_without_emulator
from tests.support.conditions import conditions
from tests.support.engines import new_name
from tests.support.events import TTD, entries, entry

SEGMENT_ENTRIES = 100
FEED = app_feed(TTD)
# Commits of three entries: 1 to 3, 4 to 6, …, 28 to 30. The one from 13 to 15 is damaged, or the last one.
LOG = entries(1, 30)
MIDDLE, LAST = 13, 28


@pytest.fixture
async def database(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A log of ten commits."""
    skip_without_emulator(emulator_url)
    monkeypatch.setattr(retry, "STALE_SECONDS", 0.0)
    async with new_database(emulator_url) as database:
        log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
        for start in range(0, 30, 3):
            await log.append(LOG[start : start + 3], after=start)
        yield database


async def read_document(database: Database, first: int) -> Document:
    """Return the document of a commit."""
    return dict(await database.container(COMMITS).read_item(document_id(first), 0))


async def replace_document(database: Database, first: int, document: Document) -> None:
    """Put a document in the place of a commit, or beside it if it has another id or segment."""
    if (document["id"], document["segment"]) == (document_id(first), 0):
        await database.container(COMMITS).upsert_item(document)
    else:
        await database.container(COMMITS).delete_item(document_id(first), 0)
        await database.container(COMMITS).create_item(document)


def compress(value: object) -> str:
    """Return the text of the rows of a commit."""
    return base64.b64encode(zlib.compress(msgspec.msgpack.encode(value))).decode()


# What is put in the place of a commit. None: nothing.
KINDS: Mapping[str, Callable[[Document], Document | None]] = {
    "missing": lambda _: None,
    "foreign": lambda each: {"id": each["id"], "segment": 0, "name": "a document of another program"},
    "without events": lambda each: {name: value for name, value in each.items() if name != "events"},
    "without a write id": lambda each: {name: value for name, value in each.items() if name != "write_id"},
    "without its last position": lambda each: {name: value for name, value in each.items() if name != "last"},
    "time as a text": lambda each: {**each, "time": "soon"},
    "first as a text": lambda each: {**each, "first": str(each["first"])},
    "last as a text": lambda each: {**each, "last": str(each["last"])},
    "no base64": lambda each: {**each, "events": "§"},
    "not compressed": lambda each: {**each, "events": base64.b64encode(b"events").decode()},
    "cut off": lambda each: {**each, "events": each["events"][:-8]},
    "endless": lambda each: {**each, "events": compress([b"x" * 9_000_000])},
    "two rows of three": lambda each: {
        **each,
        "events": compress(msgspec.msgpack.decode(zlib.decompress(base64.b64decode(each["events"])))[:2]),
    },
    "ends before its rows": lambda each: {**each, "last": each["last"] - 1},
    "begins after its id": lambda each: {**each, "first": each["first"] + 1},
    "of another place": lambda each: {**each, "first": each["first"] + 30, "last": each["last"] + 30},
    "under another id": lambda each: {**each, "id": "copy"},
    "of another segment": lambda each: {**each, "segment": 7},
}
VERBS: Mapping[str, Callable[[CosmosLog, int], Awaitable[object]]] = {
    "head": lambda log, _: log.head(),
    "follow": lambda log, _: log.follow(after=0, limit=100),
    "follow from it": lambda log, first: log.follow(after=first - 1, limit=1),
    "follow from its middle": lambda log, first: log.follow(after=first, limit=2),
    "dense scan": lambda log, _: log.scan(FEED, after=0, through=30, limit=100),
    "sparse scan": lambda log, first: log.scan(
        FEED.where(*conditions(id=LOG[first].event.identity.id)), after=0, through=30, limit=1
    ),
    "find": lambda log, first: log.find([LOG[first].event]),
    "seek": lambda log, first: log.seek(LOG[first].time),
}


async def damaged_log(database: Database, kind: str, first: int) -> CosmosLog:
    """Damage a commit, and open the log in another process, which knows that the log has reached its end."""
    document = KINDS[kind](await read_document(database, first))
    if document is None:
        await database.container(COMMITS).delete_item(document_id(first), 0)
    else:
        await replace_document(database, first, document)
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    if first == MIDDLE:
        with contextlib.suppress(LogDamaged):  # some kinds show at the end
            await log.head()
    return log


# Searches by an index meet a damaged document only if they find it; they cannot miss one that is whole.
SEARCHES = {"sparse scan", "find", "seek", "head"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", VERBS)
async def test_damage_in_the_middle_is_named(database: Database, verb: str, kind: str) -> None:
    """Each read in order fails with the position; a search fails if it meets the document; nothing else fails."""
    log = await damaged_log(database, kind, MIDDLE)
    if verb in SEARCHES:
        with contextlib.suppress(LogDamaged):
            await VERBS[verb](log, MIDDLE)
    else:
        with pytest.raises(LogDamaged, match=r"at sequence (1[2-6]|43):"):
            await VERBS[verb](log, MIDDLE)


@pytest.mark.parametrize("kind", KINDS)
async def test_damage_at_the_end_is_never_a_defect(database: Database, kind: str) -> None:
    """The process refuses to append, or the lost commit is what a process can not know; no other failure."""
    log = await damaged_log(database, kind, LAST)
    results = list[object]()
    for verb in VERBS.values():
        try:
            results.append(await verb(log, LAST))
        except LogDamaged as failure:
            results.append(failure)
    with contextlib.suppress(Unavailable):
        await log.append([entry(LAST)], after=LAST - 1)
    reread = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    with contextlib.suppress(LogDamaged):
        results.append(await reread.follow(after=0, limit=100))

    assert any(isinstance(each, LogDamaged) for each in results) or kind == "missing"


@pytest.mark.parametrize("kind", ["foreign", "without its last position", "last as a text"])
async def test_append_at_a_place_that_a_foreign_document_has_is_refused(database: Database, kind: str) -> None:
    """The id is taken, but by no commit: a repetition would never succeed."""
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    await log.head()
    template = {**await read_document(database, LAST), "id": document_id(31), "first": 31, "last": 33}
    document = KINDS[kind](template)
    assert document is not None
    await database.container(COMMITS).create_item(document)
    with pytest.raises(LogDamaged):
        await log.append([entry(31)], after=30)


async def test_process_that_found_damage_refuses_everything_until_it_is_mended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One read of a hole ends reads and appends of the process, and its readiness; the mended place ends that."""
    monkeypatch.setattr(damage_module, "CHECK_SECONDS", 0.0)
    document = await read_document(database, MIDDLE)
    log = await damaged_log(database, "missing", MIDDLE)
    with pytest.raises(LogDamaged, match="at sequence 13"):
        await log.scan(FEED, after=9, through=30, limit=100)
    failures = list[str]()
    for verb in (
        log.probe(),
        log.append([entry(31)], after=30),
        log.find([LOG[29].event]),
        log.follow(after=20, limit=1),
    ):
        with pytest.raises(LogDamaged, match="at sequence 13") as failure:
            await verb
        failures.append(str(failure.value))
    await database.container(COMMITS).create_item(document)
    await log.append([entry(31)], after=30)

    assert 4 == len(failures)
    assert [*LOG, 31] == [*(await log.follow(after=0, limit=30)), (await log.head()).end_offset]


async def test_process_that_found_damage_reads_the_place_once_a_second(database: Database) -> None:
    """Requests of clients cause no storm of requests."""
    log = await damaged_log(database, "missing", MIDDLE)
    requests = list[int]()
    for _ in range(20):
        with pytest.raises(LogDamaged):
            await log.scan(FEED, after=9, through=30, limit=100)
        requests.append(sum(cost.requests for cost in database.costs.values()))

    assert requests[-1] - requests[0] <= 4


async def test_log_start_past_the_damage_ends_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """`eventfeed store trim` moves the log start: the damage is no longer part of the log."""
    monkeypatch.setattr(damage_module, "CHECK_SECONDS", 0.0)
    log = await damaged_log(database, "missing", MIDDLE)
    with pytest.raises(LogDamaged):
        await log.follow(after=0, limit=100)
    other = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    log_start = await other.expire(before=LOG[19].time)
    monkeypatch.setattr(manifest_module, "MANIFEST_SECONDS", 0.0)

    assert (19, LOG[19:]) == (log_start, await log.follow(after=0, limit=100))


async def test_hole_at_the_beginning_of_a_young_log_is_damage(database: Database) -> None:
    """Nothing can have expired in a log that is younger than its retention."""
    log = await damaged_log(database, "missing", 1)
    with pytest.raises(LogDamaged, match="at sequence 1:"):
        await log.follow(after=0, limit=100)


async def test_lost_manifest_over_existing_commits_is_not_replaced(database: Database) -> None:
    """A second log would begin at 1, and consumers would read its events as those of the first."""
    await database.container(RECORDS).delete_item("log", "log")
    with pytest.raises(LogDamaged, match="up to sequence 30"):
        await open_log(database, segment_entries=SEGMENT_ENTRIES)

    assert [] == [each async for each in database.container(RECORDS).query_items("SELECT * FROM c")]


async def test_manifest_lost_while_the_process_runs_is_damage(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each read of the manifest notices it: without its name and its start, the log must not be served."""
    monkeypatch.setattr(manifest_module, "MANIFEST_SECONDS", 0.0)
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    await log.head()
    manifest = await database.container(RECORDS).read_item("log", "log")
    await database.container(RECORDS).delete_item("log", "log")
    for verb in (log.head(), log.follow(after=0, limit=1), log.expire(before=LOG[9].time)):
        with pytest.raises(LogDamaged, match="lost the manifest"):
            await verb
    await database.container(RECORDS).create_item(dict(manifest))

    assert 30 == (await log.head()).end_offset


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": 1}, "layout 1"),
        ({"layout": None}, "layout None"),
        ({"log_start": "x"}, "malformed"),
        ({"name": 5}, "malformed"),
        ({"segment_entries": 0}, "malformed"),
        ({"position": -1}, "malformed"),
    ],
)
async def test_manifest_of_another_layout_is_refused(
    database: Database, change: dict[str, object], message: str
) -> None:
    """The message has the layout, and that of this release."""
    manifest = await database.container(RECORDS).read_item("log", "log")
    await database.container(RECORDS).upsert_item({**manifest, **change})
    with pytest.raises(LogDamaged, match=message):
        await open_log(database, segment_entries=SEGMENT_ENTRIES)


async def test_malformed_owner_is_damage(database: Database) -> None:
    """Its app is unknown, so no event of the instance is accepted."""
    name = LOG[0].event.instance
    await database.container("owners").upsert_item({"id": name, "org": 5})
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    with pytest.raises(LogDamaged, match="owner"):
        await log.find([msgspec.structs.replace(entry(31).event, instance=name)])


@pytest.mark.parametrize("value", ["no JSON", "{}", 5])
async def test_malformed_record_is_damage(database: Database, value: object) -> None:
    """An approval or an audit entry of another form is no defect of the service."""
    records = CosmosRecords(database, new_id=new_name)
    await records.record(AuditEntry(time=1, organisation="310000033", action="read"))
    container = database.container(RECORDS)
    await container.upsert_item({"id": "310000033", "kind": "approval", "approval": str(value)})
    await container.upsert_item({"id": f"{2:020d}-x", "kind": "audit-1970-01", "entry": value})

    with pytest.raises(LogDamaged, match="records"):
        await records.approval("310000033")
    with pytest.raises(LogDamaged, match="records"):
        _ = [each async for each in records.entries(AuditRange())]


async def test_database_of_layout_1_is_refused(emulator_url: str) -> None:
    """It has one document for each event, and no release wrote one. Nothing is created in it."""
    skip_without_emulator(emulator_url)
    async with new_database(emulator_url) as database:
        account = database._client.get_database_client(database.name)
        await account.delete_container(COMMITS)
        await account.create_container("events", PartitionKey("/segment"))
        with pytest.raises(Unavailable, match="layout 1"):
            await database.require((), indexes=False)
        with pytest.raises(Unavailable, match="layout 1"):
            await database.create(())
