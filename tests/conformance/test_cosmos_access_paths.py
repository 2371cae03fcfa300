"""The access paths of the Cosmos DB engine: every query that it sends uses the indexes of its container.

The queries are captured while the verbs run, and a query that none of the verbs sends makes the test fail.
"""

import ast
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import pytest

import eventfeed
from eventfeed.domain.approval import Approval, AuditEntry, AuditRange
from eventfeed.domain.errors import TailMoved
from eventfeed.domain.feed import Feed, app_feed, instance_feed, party_feed, reportee_feed, resource_feed, unit_feed
from eventfeed.log.cosmos.containers import Container, containers
from eventfeed.log.cosmos.database import Calls
from eventfeed.log.cosmos.documents import commit_documents
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.records.cosmos import CosmosRecords
from tests.emulator.running import KEEP_SECONDS, SEGMENT_ENTRIES, open_new_log
from tests.support.conditions import conditions
from tests.support.events import TTD, caller, entries, entry, event, guid
from tests.support.index_rules import index_terms, policy_faults, scan_faults

ENGINE = Path(eventfeed.__file__).parent
FILES = [*(ENGINE / "log" / "cosmos").glob("*.py"), ENGINE / "records" / "cosmos.py"]
CONTAINERS: Mapping[str, Container] = {each.name: each for each in containers(keep_seconds=KEEP_SECONDS)}
MONTH = 31 * 24 * 3_600 * 1_000_000
# Queries without a partition: each costs request units in every physical partition.
QUERIES_OF_ALL_PARTITIONS = {
    ("commits", "check"),
    ("commits", "find"),
    ("commits", "head"),
    ("commits", "scan"),
    ("owners", "owners"),
}


class SentQuery(NamedTuple):
    """A query as the engine sent it, and the functions that it came from."""

    container: str
    verb: str
    sql: str
    has_partition: bool
    functions: frozenset[str]


@contextmanager
def captured_queries(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SentQuery]]:
    """Capture the queries that engines send during the block."""
    queries = list[SentQuery]()

    def capture(name: str) -> None:
        send = getattr(Calls, name)

        def sent(self: Calls, verb: str, sql: str, **options: object) -> object:
            functions = frozenset(frame.f_code.co_qualname for frame in frames(sys._getframe(1)))
            queries.append(SentQuery(self._name, verb, sql, options.get("partition") is not None, functions))
            return send(self, verb, sql, **options)

        monkeypatch.setattr(Calls, name, sent)

    capture("query")
    capture("page")
    yield queries


def frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and its callers, of the engine's files."""
    while frame is not None:
        if Path(frame.f_code.co_filename) in FILES:
            yield frame
        frame = frame.f_back


def functions_with_a_query() -> frozenset[str]:
    """The qualified names of the engine's functions that contain the text of a query."""
    names = set[str]()
    for file in FILES:
        for scope in ast.walk(ast.parse(file.read_text())):
            if isinstance(scope, ast.ClassDef):
                functions = [each for each in scope.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
                names |= {f"{scope.name}.{each.name}" for each in functions if has_query(each)}
    return frozenset(names)


def has_query(function: ast.AST) -> bool:
    """True if a function contains the text of a query."""
    texts = [each.value for each in ast.walk(function) if isinstance(each, ast.Constant)]
    return any(isinstance(each, str) and " FROM c" in each for each in texts)


@pytest.fixture
async def queries(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> Sequence[SentQuery]:
    """The queries of all verbs of the log and of the records."""
    with captured_queries(monkeypatch) as captured:
        async with open_new_log(emulator_url) as log:
            await run_log(log)
            await run_records(CosmosRecords(log._database, new_id=lambda: uuid.uuid4().hex))
    return captured


async def run_log(log: CosmosLog) -> None:
    """Run every verb of a log, over several segments."""
    first = event(instance=1)
    await log.append([entry(1, of=first), *entries(2, 3)], after=0)
    for start in range(4, 4 * SEGMENT_ENTRIES, 3):
        await log.append(entries(start, start + 2), after=start - 1)
    head = await log.head()
    await log.follow(after=0, limit=1_000)
    await log.find([first, event(instance=99)])
    await log.find_identities([first.identity])
    for feed in feeds():
        await log.scan(feed, after=0, through=head.end_offset, limit=50)
        await log.scan(feed, after=head.end_offset - 1, through=head.end_offset, limit=50)
    await log.seek(1)
    with pytest.raises(TailMoved):
        await log.append(entries(1, 1), after=0)
    await log._owners._winner(guid(1))
    await log._segments.first_remaining()
    assert [] == [fault async for fault in log.faults()]
    await log.expire(before=2)
    await log.rename()


def feeds() -> Sequence[Feed]:
    """A feed of each kind, without and with filters."""
    reader = caller()
    types = conditions(types={"instance.created", "instance.process.completed"})
    return [
        app_feed(TTD),
        app_feed(TTD).where(*types),
        app_feed(TTD).where(*conditions(id="one")),
        party_feed("/party/50000001", reader),
        party_feed("/party/50000001", reader).where(*types),
        unit_feed(frozenset({"/party/50000001", "/party/50000002"}), reader),
        reportee_feed(["instance.created"]),
        reportee_feed(["instance.created"]).where(*types),
        instance_feed(guid(1), None),
        instance_feed(guid(1), "50000001"),
        resource_feed("urn:altinn:resource:any", reader),
    ]


async def run_records(records: CosmosRecords) -> None:
    """Run every verb of the records, over two months."""
    await records.open()
    await records.approve(Approval(organisation="991825827", types=["a"], valid_to=1, reason="r"))
    await records.withdraw("991825827")
    await records.organisations()
    for time in (1, MONTH + 1):
        await records.record(AuditEntry(time=time, organisation="991825827", action="read"))
    for bounds in (AuditRange(), AuditRange(since=1, until=MONTH, organisation="991825827")):
        assert [each async for each in records.entries(bounds)]


async def test_every_query_uses_the_indexes_of_its_container(queries: Sequence[SentQuery]) -> None:
    """Microsoft's rules: an index for each filter, and for the order. `store check` reads every document."""
    faults = {
        f"{each.container}: {each.sql}: {fault}"
        for each in queries
        if "LogCheck.faults" not in each.functions and "LogCheck.stray_documents" not in each.functions
        for fault in scan_faults(each.sql, CONTAINERS[each.container].indexing)
    }

    assert set() == faults


async def test_every_query_of_the_engine_is_captured(queries: Sequence[SentQuery]) -> None:
    """A new query must be sent by a verb of this test."""
    sent = frozenset[str]().union(*(each.functions for each in queries))

    assert len(functions_with_a_query()) > 10
    assert frozenset() == functions_with_a_query() - sent


async def test_only_some_verbs_query_every_partition(queries: Sequence[SentQuery]) -> None:
    """The price model counts these in every physical partition. The others name their partition, also as a filter."""
    assert {(each.container, each.verb) for each in queries if not each.has_partition} == QUERIES_OF_ALL_PARTITIONS
    assert [] == [
        each.sql
        for each in queries
        if each.has_partition and f"c.{CONTAINERS[each.container].partition_key.strip('/')} = @" not in each.sql
    ]


def test_indexing_policies_have_only_possible_paths() -> None:
    """A path that cannot be indexed would index nothing."""
    assert [] == [fault for each in CONTAINERS.values() for fault in policy_faults(each.indexing)]


def test_index_terms_of_a_commit_are_bounded_by_different_values() -> None:
    """500 events of one app, type, party and instance have two terms each: their id and their identity."""
    first = event(instance=1)
    same = [entry(number, of=event(instance=1)) for number in range(2, 501)]
    (document,) = commit_documents([entry(1, of=first), *same], segment_entries=1_000)

    # Besides those: id, _ts, segment, last, time, the composite index, and one of each other list.
    assert 2 * 500 + 6 + 5 == index_terms(document, CONTAINERS["commits"].indexing)
