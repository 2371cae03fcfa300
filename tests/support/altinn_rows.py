"""Rows of the replaced platform's table, as its database holds them, and CSV files of them."""

import csv
import io
import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

FIRST_TIME = datetime(2026, 1, 1, 12, tzinfo=UTC)
HEADER = ("sequenceno", "cloudevent", "registeredtime")


class AltinnRow(NamedTuple):
    """A row: its number, the members of its event, and its registration as PostgreSQL writes it."""

    number: int
    event: Mapping[str, object]
    registered: str


def altinn_event(number: int, **changes: Any) -> Mapping[str, object]:
    """An event of an app as the platform stores it, with these members, or without those that are None."""
    guid = uuid.UUID(int=number, version=4)
    members = {
        "id": str(uuid.UUID(int=1_000_000 + number, version=4)),
        "time": f"{FIRST_TIME + timedelta(seconds=number):%Y-%m-%dT%H:%M:%S}.1234567Z",
        "type": "app.instance.created",
        "source": f"https://ttd.apps.altinn.no/ttd/apps-test/instances/50000001/{guid}",
        "subject": "/party/50000001",
        "specversion": "1.0",
        "resource": "urn:altinn:resource:app_ttd_apps-test",
        "resourceinstance": f"50000001/{guid}",
        "alternativesubject": "/person/01838012345",
    }
    return {name: value for name, value in {**members, **changes}.items() if value is not None}


def altinn_row(number: int, *, seconds: float | None = None, **changes: Any) -> AltinnRow:
    """A row registered so many seconds after the first time, by default `number`."""
    time = FIRST_TIME + timedelta(seconds=number if seconds is None else seconds, milliseconds=500)
    return AltinnRow(number, altinn_event(number, **changes), time.isoformat(sep=" ").replace("+00:00", "+00"))


def csv_file(rows: Iterable[AltinnRow], header: Iterable[str] = HEADER) -> bytes:
    """The CSV file of these rows, as psql writes it."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(header)
    writer.writerows((row.number, json.dumps(row.event), row.registered) for row in rows)
    return content.getvalue().encode()
