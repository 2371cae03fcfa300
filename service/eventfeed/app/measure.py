"""Measurements of a log in Cosmos DB: the request units of each verb, and the indexes that its queries use.

The verbs read the present log. Appends write markers, which are in no feed.
"""

import base64
import functools
import itertools
import json
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from eventfeed.app.cost import azure, workload
from eventfeed.app.cost.model import KB
from eventfeed.app.ids import new_unique_id
from eventfeed.domain.errors import TailMoved, Unavailable
from eventfeed.domain.event import Entry, Event, marker
from eventfeed.domain.feed import app_feed, instance_feed
from eventfeed.domain.ports import EventLog
from eventfeed.log.cosmos.containers import COMMITS, OWNERS

if TYPE_CHECKING:
    from eventfeed.log.cosmos.database import Database, StoreResponse

APPENDS = (1, 20, 500)
LOOKUP_EVENTS = 20
FOLLOW_ENTRIES = 1_000
PAGE_EVENTS = 50
# Other processes append too; each attempt follows a new end.
APPEND_TRIES_MAX = 20
_INDEX_METRICS = "x-ms-cosmos-index-utilization"
_QUERY_OPTIONS = {"populate_index_metrics": True}


class Measurement(NamedTuple):
    """The requests of a verb during an action: their request units, and those of the model; documents and their bytes.

    `indexes` are the index paths that the store used, and `missing_indexes` those that it advises.
    """

    action: str
    verb: str
    requests: int
    request_units: float
    model_units: float
    documents: int
    bytes: int
    indexes: Sequence[str]
    missing_indexes: Sequence[str]


class _Response(NamedTuple):
    units: float
    model_units: float
    sizes: Sequence[int]
    indexes: frozenset[str]
    missing_indexes: frozenset[str]


class Meter:
    """Measures actions on the log of an open database."""

    def __init__(self, database: "Database", log: EventLog) -> None:
        self._database, self._log = database, log
        self._responses = defaultdict[str, list[_Response]](list)

    async def partitions(self) -> Mapping[str, int]:
        """Return the number of physical partitions of the containers that carry the load."""
        return {name: await self._database.count_partitions(name) for name in (COMMITS, OWNERS)}

    async def reads(self) -> Sequence[Measurement]:
        """Measure the verbs that read. Nothing is changed."""
        head = await self._log.head()
        start = max(head.log_start, head.end_offset - FOLLOW_ENTRIES)
        newest = await self._log.follow(after=start, limit=FOLLOW_ENTRIES)
        new = [
            msgspec.structs.replace(marker(new_unique_id()), instance=str(uuid.uuid4())) for _ in range(LOOKUP_EVENTS)
        ]
        actions: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("end of the log", self._log.head),
            (f"lookup of {LOOKUP_EVENTS} new events", lambda: self._log.append_new(new, tail=head, plan=lambda *_: ())),
            ("log start", lambda: self._log.seek(head.time)),
        ]
        if newest:
            actions += [
                (f"newest {len(newest)} entries", lambda: self._log.follow(after=start, limit=FOLLOW_ENTRIES)),
                ("proof of a cursor", lambda: self._log.follow(after=newest[-1].sequence - 1, limit=1)),
                *self._pages(newest, after=head.log_start),
            ]
        return [each for action, run in actions for each in await self._measure(action, run)]

    async def appends(self) -> Sequence[Measurement]:
        """Measure appends of markers."""
        return [
            each
            for count in APPENDS
            for each in await self._measure(f"append of {count}", functools.partial(self._append, count))
        ]

    def _pages(self, newest: Sequence[Entry], *, after: int) -> Iterator[tuple[str, Callable[[], Awaitable[object]]]]:
        """Yield the scans for the newest event of an app: of the app, and of the event's instance."""
        event = next((each.event for each in reversed(newest) if each.event.app and each.event.instance), None)
        if event is None or event.app is None or event.instance is None:
            return
        app, instance, through = app_feed(event.app), instance_feed(event.instance, None), newest[-1].sequence
        first = newest[0].sequence - 1
        yield (
            f"page of {PAGE_EVENTS} events of an app",
            lambda: self._log.scan(app, after=first, through=through, limit=PAGE_EVENTS),
        )
        yield (
            f"page of {PAGE_EVENTS} events of an instance",
            lambda: self._log.scan(instance, after=after, through=through, limit=PAGE_EVENTS),
        )

    async def _append(self, count: int) -> None:
        for _ in range(APPEND_TRIES_MAX):
            head = await self._log.head()
            time, write_id = max(head.time, self._database.clock() // 1_000), new_unique_id()
            entries = [
                Entry(sequence=head.end_offset + number, time=time, write_id=write_id, event=_new_marker())
                for number in range(1, count + 1)
            ]
            try:
                return await self._log.append(entries, after=head.end_offset)
            except TailMoved:
                self._responses.pop("append", None)
        raise Unavailable("Other processes kept appending.")

    async def _measure(self, action: str, run: Callable[[], Awaitable[object]]) -> Sequence[Measurement]:
        """Run an action, and return a measurement for each verb of its requests."""
        self._responses.clear()
        with self._observing():
            await run()
        return [_summary(action, verb, responses=responses) for verb, responses in self._responses.items()]

    @contextmanager
    def _observing(self) -> Iterator[None]:
        self._database.observer, self._database.query_options = self._observe, _QUERY_OPTIONS
        try:
            yield
        finally:
            self._database.observer, self._database.query_options = None, {}

    def _observe(self, response: "StoreResponse") -> None:
        headers, body = response.headers, response.body
        is_query = isinstance(body, dict) and "Documents" in body
        documents = body["Documents"] if isinstance(body, dict) and is_query else [body] if body else []
        sizes = [len(json.dumps(each, separators=(",", ":"), ensure_ascii=False).encode()) for each in documents]
        if is_query:
            model_units = azure.QUERY_UNITS.value + sum(azure.READ_UNITS.at(size / KB) for size in sizes)
        else:
            model_units = sum(_write_units(each, size) for each, size in zip(documents, sizes, strict=True))
        used, advised = _index_metrics(headers.get(_INDEX_METRICS))
        units = float(headers.get("x-ms-request-charge", 0))
        self._responses[response.verb].append(_Response(units, model_units, sizes, used, advised))


def _new_marker() -> Event:
    return marker(new_unique_id())


def _write_units(document: Mapping[str, object], size: int) -> float:
    """Return the model's request units for creating a commit."""
    terms = sum(max(1, len(value)) for value in document.values() if isinstance(value, list))
    index = (terms + workload.COMMIT_TERMS.value) * azure.INDEX_TERM_UNITS.value
    return azure.WRITE_UNITS.at(size / KB) + index


def _summary(action: str, verb: str, *, responses: Sequence[_Response]) -> Measurement:
    sizes = [size for each in responses for size in each.sizes]
    return Measurement(
        action=action,
        verb=verb,
        requests=len(responses),
        request_units=round(sum(each.units for each in responses), 2),
        model_units=round(sum(each.model_units for each in responses), 2),
        documents=len(sizes),
        bytes=sum(sizes),
        indexes=sorted(frozenset[str]().union(*(each.indexes for each in responses))),
        missing_indexes=sorted(frozenset[str]().union(*(each.missing_indexes for each in responses))),
    )


def _index_metrics(value: object) -> tuple[frozenset[str], frozenset[str]]:
    """Return the index paths that a query used, and those that the store advises, by its index metrics."""
    metrics = _decode(value) if isinstance(value, str) else value
    if not isinstance(metrics, dict):
        return frozenset(), frozenset()
    used, advised = set[str](), set[str]()
    for name, groups in metrics.items():
        paths = used if str(name).startswith("Utilized") else advised
        lists = groups.values() if isinstance(groups, dict) else [groups]
        for index in itertools.chain.from_iterable(lists):
            specification = index.get("IndexSpec") or "+".join(index.get("IndexSpecs", ()))
            paths.add(str(specification))
    return frozenset(used - {""}), frozenset(advised - {""})


def _decode(text: str) -> object:
    try:
        return json.loads(base64.b64decode(text))
    except ValueError:
        return None
