"""A log with the events of many cases, as publishers' batches wrote them."""

import gzip
import json
import random
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

from eventfeed.app.migration.parsing import parse_rows
from eventfeed.app.migration.rows import Row
from eventfeed.domain.event import Entry, Event
from eventfeed.domain.moment import format_moment
from tests.support.engines import open_sqlite_log

# Events of one append, as the appender batches them.
BATCH_ENTRIES_MAX = 500
PART_ENTRIES = 5_000
STEPS = ("created", "process.movedTo.Task_1", "substatus.changed", "saved", "process.completed", "completed")
FIRST_TIME = 1_767_268_800_000_000  # 2026-01-01T12:00Z
SECOND = 1_000_000
_INSTANCE = re.compile(r"(?<=/)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


async def fill(path: Path, *, events: int, file: Path | None) -> None:
    """Make a SQLite store with so many events, of the lines of a file again and again, or of generated cases."""
    lines = generated_lines() if file is None else repeated_lines(file)
    batches = random.Random(1)  # the same log in each run
    async with open_sqlite_log(path) as log:
        await log.begin_import()
        end = 0
        entries = list[Entry]()
        while end < events:
            size = min(batches.randint(1, BATCH_ENTRIES_MAX), events - end)
            time, write_id = FIRST_TIME + end * SECOND // 10, uuid.UUID(int=batches.getrandbits(128)).hex
            for sequence, event in enumerate(events_of(islice(lines, size), number=end, time=time), end + 1):
                entries.append(Entry(sequence=sequence, time=time, write_id=write_id, event=event))
            end += size
            if len(entries) >= PART_ENTRIES or end == events:
                await log.append(entries, after=entries[0].sequence - 1)
                entries = []
        await log.end_import()


def events_of(lines: Iterator[Mapping[str, Any]], *, number: int, time: int) -> Sequence[Event]:
    """Return the events of lines, with ids from `number` on, published at a time."""
    rows = []
    for position, members in enumerate(lines, number):
        event = {"id": str(uuid.UUID(int=position, version=4)), "time": format_moment(time), **members}
        rows.append(Row(position, time, json.dumps(event).encode()))
    events = [candidate.event for candidate in parse_rows(rows)]
    assert not any(isinstance(each, str) for each in events), events
    return [each for each in events if isinstance(each, Event)]


def repeated_lines(file: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the lines of a file of events without end. In each round the cases are others."""
    with gzip.open(file) as content:
        lines = [json.loads(line) for line in content]
    for each in count():
        for members in lines:
            source = _INSTANCE.sub(lambda guid: str(uuid.uuid5(uuid.UUID(guid[0]), str(each))), members["source"])  # noqa: B023
            yield {**members, "source": source}


def generated_lines() -> Iterator[Mapping[str, Any]]:
    """Yield the events of cases without end: each case has one of each step."""
    for case in count():
        instance = f"{50_000_000 + case % 1_000}/{uuid.UUID(int=case, version=4)}"
        for step, name in enumerate(STEPS):
            yield {
                "specversion": "1.0",
                "source": f"https://ttd.apps.example.no/ttd/case/instances/{instance}",
                "subject": f"/party/{50_000_000 + case % 1_000}",
                "type": f"instance.{name}",
                "data": {"step": step, "text": f"Søknad {case} " * (1 + case % 5)},
            }
