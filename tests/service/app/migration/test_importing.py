"""The import of rows: identities, times and order stay, and it goes on where it was interrupted."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from eventfeed.app.migration.csv_table import CsvTable
from eventfeed.app.migration.importing import ImportRefusedError
from eventfeed.domain.errors import OutcomeUnknown, StoreUnusable
from eventfeed.domain.feed import app_feed
from eventfeed.log.sqlite.log import SqliteLog
from tests.service.app.migration.importer import DAY, FIRST, KEEP, Importer, Report
from tests.support.altinn_rows import altinn_row, csv_file
from tests.support.engines import new_name
from tests.support.events import TTD, entry
from tests.support.faulty_log import Fault, FaultyImportLog

SECOND = 1_000_000


async def imported_events(importer: Importer) -> Sequence[object]:
    """The events of the log as they are served, without their sequence."""
    events = [json.loads(each.json) for each in await importer.entries()]
    return [{name: value for name, value in event.items() if name != "sequence"} for event in events]


async def test_rows_are_imported_in_order_with_ids_and_times(importer: Importer) -> None:
    """Events are those of the table, and the registration is the table's own."""
    rows = [altinn_row(number) for number in range(1, 11)]

    report = await importer.run(rows)
    entries = await importer.entries()

    assert [row.event for row in rows] == await imported_events(importer)
    assert [FIRST + number * SECOND + SECOND // 2 for number in range(1, 11)] == [each.time for each in entries]
    assert list(range(1, 11)) == [each.sequence for each in entries]
    assert Report("10 rows: imported 10, repeats 0, expired 0, not imported 0", [], 0) == report


async def test_imported_events_are_found_by_their_feed_after_the_import(importer: Importer, log: SqliteLog) -> None:
    """The indexes, which an import removes, are back."""
    await importer.run([altinn_row(number) for number in range(1, 11)])

    indexes = await log._writer.bind(lambda db: db.execute("PRAGMA index_list(entry)").fetchall())()

    assert 8 == len(indexes)


async def test_registration_never_decreases(importer: Importer) -> None:
    """A row registered before the row before it has that row's registration: times order the log."""
    await importer.run([altinn_row(1, seconds=10), altinn_row(2, seconds=3), altinn_row(3, seconds=11)])

    times = [(each.time - FIRST) // SECOND for each in await importer.entries()]

    assert [10, 10, 11] == times


async def test_registration_in_the_future_does_not_count(importer: Importer) -> None:
    """Such a row has the registration of the row before, so the rows after it keep their own."""
    report = await importer.run([altinn_row(1), altinn_row(2, seconds=40 * 24 * 3_600), altinn_row(3)])

    times = [(each.time - FIRST) // SECOND for each in await importer.entries()]

    assert [1, 1, 3] == times
    assert 0 == report.faults


@pytest.mark.parametrize(("ahead", "time"), [(4, 103), (600, 1)])
async def test_registration_that_was_in_the_future_at_the_import_is_no_difference_later(
    importer: Importer, ahead: int, time: int
) -> None:
    """A repeat of the import may be after that time. A little ahead of the clock, the time of the import counts."""
    importer.now = FIRST + 103 * SECOND
    rows = [altinn_row(1), altinn_row(2, seconds=103 + ahead), altinn_row(3)]
    first = await importer.run(rows)

    importer.now += DAY
    again = await importer.run(rows)

    assert [1, time, max(time, 3)] == [(each.time - FIRST) // SECOND for each in await importer.entries()]
    assert (0, 0) == (first.faults, again.faults)


async def test_registration_of_a_row_without_a_time_is_that_of_the_row_before(importer: Importer) -> None:
    """The comparison finds such a row if it had a time at the import."""
    rows = [altinn_row(1), altinn_row(2)._replace(registered=""), altinn_row(3)]
    report = await importer.run(rows)

    later = await importer.verify(CsvTable(io.BytesIO(csv_file([*rows[:2], rows[2]._replace(registered="")]))))

    assert [1, 1, 3] == [(each.time - FIRST) // SECOND for each in await importer.entries()]
    assert 0 == report.faults
    assert ["line 4, sequenceno 3 differs at sequence 3: registration time."] == list(later.messages)


@pytest.mark.parametrize(("seconds", "faults"), [(4, 0), (3.7, 0), (4.2, 1)])
async def test_registration_after_entries_that_expired_is_the_latest_or_later(
    importer: Importer, log: SqliteLog, seconds: float, faults: int
) -> None:
    """The registration of the rows before it is not known."""
    rows = [altinn_row(number) for number in range(1, 7)]
    await importer.run(rows)
    importer.now = FIRST + KEEP + 4 * SECOND
    await log.expire(importer.now - KEEP)
    rows[3] = altinn_row(4, seconds=seconds)

    report = await importer.verify(CsvTable(io.BytesIO(csv_file(rows))))

    assert ("6 rows: imported 3, repeats 0, expired 3, not imported 0", faults) == (report.counts, report.faults)


@pytest.mark.parametrize("numbers", [(0, 1, 2, 3), (2, 0, 3, 1)])
async def test_row_with_the_number_0_is_imported(importer: Importer, numbers: Sequence[int]) -> None:
    """It is the first one. A repeat of the import finds it."""
    rows = [altinn_row(number, seconds=5) for number in numbers]

    reports = [await importer.run(rows), await importer.run(rows)]

    assert [Report("4 rows: imported 4, repeats 0, expired 0, not imported 0", [], 0)] * 2 == reports
    assert [0, 1, 2, 3] == [int(each.write_id.split(".")[-1]) for each in await importer.entries()]


async def test_import_goes_on_after_the_number_0(importer: Importer) -> None:
    """An interruption may come after it."""
    await importer.run([altinn_row(0)])

    report = await importer.run([altinn_row(0), altinn_row(1)])

    assert Report("2 rows: imported 2, repeats 0, expired 0, not imported 0", [], 0) == report


@pytest.mark.parametrize("members", [{}, {"time": None}, {"data": {"time": 1}}, {"data": 'a "time"'}], ids=str)
@pytest.mark.parametrize(
    ("seconds", "time"), [(2, "2026-01-01T12:00:02.500000Z"), (40 * 24 * 3_600, "2026-01-01T12:00:01.500000Z")]
)
async def test_event_without_a_time_has_that_of_its_registration(
    importer: Importer, members: Mapping[str, object], seconds: float, time: str
) -> None:
    """Other members may have this name. A registration in the future is that of the row before."""
    row = altinn_row(2, seconds=seconds, time=None)
    report = await importer.run([altinn_row(1), row._replace(event={**row.event, **members})])

    assert time == json.loads((await importer.entries())[1].json)["time"]
    assert 0 == report.faults


async def test_event_without_any_time_has_that_of_the_row_before(importer: Importer) -> None:
    """Neither the event nor the row has one."""
    report = await importer.run([altinn_row(1), altinn_row(2, time=None)._replace(registered="")])

    assert "2026-01-01T12:00:01.500000Z" == json.loads((await importer.entries())[1].json)["time"]
    assert 0 == report.faults


async def test_time_after_the_registration_is_restated(importer: Importer) -> None:
    """Nothing occurs after its registration, so `from` with the newest time never skips an event."""
    report = await importer.run([altinn_row(1, time="2099-01-01T00:00:00Z")])

    (event,) = await imported_events(importer)

    assert isinstance(event, dict)
    assert "2026-01-01T12:00:01.500000Z" == event["time"]
    assert 0 == report.faults


async def test_resource_and_instance_of_an_app_are_filled_in(importer: Importer) -> None:
    """An old row without them, or with an earlier name of the resource, is an event of its app."""
    old_name: Mapping[str, Any] = {"resource": "urn:altinn:resource:altinnapp.ttd.apps-test"}
    report = await importer.run([altinn_row(1, resource=None, resourceinstance=None), altinn_row(2, **old_name)])

    resources = {each.event.resource for each in await importer.entries()}

    assert {"urn:altinn:resource:app_ttd_apps-test"} == resources
    assert 0 == report.faults


async def test_subject_with_another_number_names_its_party(importer: Importer) -> None:
    """The register knows the party of an organisation and of a person."""
    broker: Mapping[str, Any] = {
        "source": "https://broker.example.no/x",
        "resource": "urn:altinn:resource:broker",
        "resourceinstance": None,
    }
    subjects = ["/organisation/310000011", "urn:altinn:person:identifier-no:01838012345", "/case/7", None]
    report = await importer.run(
        altinn_row(number, subject=subject, **broker) for number, subject in enumerate(subjects, start=1)
    )

    assert ["/party/51000011", "/party/50000001", "/case/7", None] == [
        each.event.subject for each in await importer.entries()
    ]
    assert 0 == report.faults


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": "https://example.no/a", "resource": None}, "resource is required"),
        ({"source": "not a source"}, "source "),
        ({"id": None}, "id is required"),
        ({"type": ""}, "type must not be empty"),
        ({"specversion": "0.3"}, "specversion must be 1.0"),
        ({"data": "x" * 70_000}, "The event is over 65536 bytes"),
    ],
    ids=["no-feed", "no-url", "no-id", "no-type", "old-version", "large"],
)
async def test_row_that_is_no_event_is_named_and_counted(
    importer: Importer, changes: Mapping[str, Any], reason: str
) -> None:
    """Its line, number and reason are said, and the other rows are imported."""
    report = await importer.run([altinn_row(1), altinn_row(2, **changes), altinn_row(3)])

    assert "3 rows: imported 2, repeats 0, expired 0, not imported 1" == report.counts
    assert [True] == [each.startswith(f"line 3, sequenceno 2 was not imported: {reason}") for each in report.messages]


async def test_first_of_two_rows_with_one_identity_counts(importer: Importer) -> None:
    """The same event again is a repeat. Another one with its source and id is not imported."""
    source = altinn_row(1).event["source"]
    twin: Mapping[str, Any] = {
        "id": altinn_row(1).event["id"],
        "source": source,
        "resourceinstance": altinn_row(1).event["resourceinstance"],
    }
    same: Mapping[str, Any] = {**twin, "time": altinn_row(1).event["time"]}
    rows = [
        altinn_row(1),
        altinn_row(2, **same),
        altinn_row(3, **twin, type="other"),
        altinn_row(4),
        altinn_row(5, **same),
    ]

    report = await importer.run(rows)

    assert "5 rows: imported 2, repeats 2, expired 0, not imported 1" == report.counts
    assert ["line 4, sequenceno 3 was not imported: sequence 1 has its source and id, and other content"] == list(
        report.messages
    )


async def test_import_again_adds_nothing(importer: Importer) -> None:
    """The last entry names the last row."""
    rows = [altinn_row(number) for number in range(1, 9)]
    first = await importer.run(rows)

    assert first == await importer.run(rows)
    assert 8 == len(await importer.entries())


async def test_import_goes_on_with_the_rows_that_were_added(importer: Importer) -> None:
    """A table that grew, or the next part of it in another file, continues the log."""
    await importer.run([altinn_row(number) for number in range(1, 5)])

    whole = await importer.run([altinn_row(number) for number in range(1, 8)])
    part = await importer.run([altinn_row(number) for number in range(6, 12)])

    assert ["imported 7", "imported 6"] == [each.counts.split(": ")[1].split(",")[0] for each in (whole, part)]
    assert 0 == whole.faults + part.faults
    assert list(range(1, 12)) == [int(each.write_id.split(".")[-1]) for each in await importer.entries()]


async def test_small_addition_to_a_large_log_keeps_the_indexes(
    importer: Importer, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To make them again would cost more than the rows."""
    starts = list[int]()
    begin_import = log.begin_import

    async def count() -> None:
        starts.append(1)
        await begin_import()

    monkeypatch.setattr(log, "begin_import", count)

    await importer.run([altinn_row(number) for number in range(1, 31)])
    await importer.run([altinn_row(number) for number in range(1, 34)])

    assert [1] == starts


async def test_newer_table_follows_the_older_one_and_not_the_reverse(importer: Importer) -> None:
    """`events_app` was the table before `events`."""
    header = ("sequenceno", "cloudevent", "time")
    await importer.add(CsvTable(io.BytesIO(csv_file([altinn_row(1), altinn_row(2)], header))))
    report = await importer.run([altinn_row(number, seconds=100 + number, id=f"new-{number}") for number in (1, 2)])

    assert ["events_app", "events_app", "events", "events"] == [
        each.write_id.split(".")[1] for each in await importer.entries()
    ]
    assert 0 == report.faults
    with pytest.raises(ImportRefusedError, match="import them first"):
        await importer.add(CsvTable(io.BytesIO(csv_file([altinn_row(3)], header))))


async def test_log_with_a_published_event_is_refused(importer: Importer, log: SqliteLog) -> None:
    """Imported history would be new for a consumer who is at the end of the log."""
    await importer.run([altinn_row(1)])
    await log.append([entry(2, time=FIRST + DAY)], after=1)

    with pytest.raises(ImportRefusedError, match="Sequence 2 was published"):
        await importer.run([altinn_row(1), altinn_row(2)])


async def test_expired_rows_are_refused_before_any_row_is_written(importer: Importer) -> None:
    """The service would delete them at once."""
    importer.now = FIRST + 91 * DAY

    with pytest.raises(ImportRefusedError, match=r"line 2, sequenceno 1 .*--skip-expired"):
        await importer.run([altinn_row(1), altinn_row(2, seconds=2 * 24 * 3_600)])
    assert [] == await importer.entries()


async def test_expired_rows_are_left_out_and_counted_on_request(importer: Importer) -> None:
    """Only rows within the retention are imported."""
    importer.now = FIRST + 91 * DAY

    report = await importer.run([altinn_row(1), altinn_row(2, seconds=2 * 24 * 3_600)], skip_expired=True)

    assert Report("2 rows: imported 1, repeats 0, expired 1, not imported 0", [], 0) == report


@pytest.mark.parametrize("fault", [Fault.RESPONSE_LOST, Fault.REQUEST_LOST, Fault.FIRST_ONLY])
async def test_append_with_an_unknown_outcome_is_looked_up(log: SqliteLog, fault: Fault) -> None:
    """No row is lost or imported twice, whatever part of an append is stored."""
    importer = Importer(FaultyImportLog(log, Fault.NONE, fault, fault))
    rows = [altinn_row(number) for number in range(1, 9)]

    report = await importer.run(rows)

    assert "8 rows: imported 8, repeats 0, expired 0, not imported 0" == report.counts
    assert [row.event for row in rows] == await imported_events(importer)


async def test_store_that_stays_silent_ends_the_import(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bounded number of attempts, then the failure."""
    monkeypatch.setattr("eventfeed.app.bulk_append.BACKOFF_SECONDS_MAX", 0.0)
    monkeypatch.setattr("eventfeed.app.bulk_append.BACKOFF_SECONDS", 0.0)

    with pytest.raises(OutcomeUnknown):
        await Importer(FaultyImportLog(log, *[Fault.REQUEST_LOST] * 20)).run([altinn_row(1)])


async def test_file_of_an_interrupted_import_is_not_served(tmp_path: Path) -> None:
    """Only a repeat of the import opens it, which then makes its indexes."""
    path = tmp_path / "log.db"
    interrupted = SqliteLog(path, new_name=new_name, for_import=True)
    await interrupted.create()
    await interrupted.begin_import()
    await interrupted.close()

    serving = SqliteLog(path, new_name=new_name)
    with pytest.raises(StoreUnusable, match="eventfeed migrate"):
        await serving.open()
    again = SqliteLog(path, new_name=new_name, for_import=True)
    await again.open()
    await again.end_import()
    await again.close()
    await serving.open()
    scan = await serving.scan(app_feed(TTD), after=0, through=1, limit=1)
    await serving.close()

    assert () == tuple(scan.entries)


async def test_row_that_appears_later_with_a_lower_number_is_a_fault(importer: Importer) -> None:
    """The platform numbers rows before their commit, so an import beside it can miss one: the comparison finds it."""
    await importer.run([altinn_row(1), altinn_row(3)])

    report = await importer.run([altinn_row(1), altinn_row(2), altinn_row(3)])

    assert 1 == report.faults
    assert ["line 3, sequenceno 2 is not in the log."] == [each.partition(" Was ")[0] for each in report.messages]


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"type": "app.instance.deleted"}, "type"),
        ({"extra": "x"}, "extra"),
        ({"alternativesubject": None}, "alternativesubject"),
        ({"time": "2026-01-01T11:00:00Z"}, "time"),
        ({"id": "another"}, "source or id"),
        ({"seconds": 50}, "registration time"),
        ({"seconds": 1.2}, "registration time"),
        ({"seconds": -50}, "registration time"),
        ({"seconds": 40 * 24 * 3_600}, "registration time"),
    ],
)
async def test_comparison_finds_a_row_that_differs_from_its_entry(
    importer: Importer, changes: Mapping[str, Any], difference: str
) -> None:
    """Every member counts."""
    await importer.run([altinn_row(1), altinn_row(2)])

    table = CsvTable(io.BytesIO(csv_file([altinn_row(1), altinn_row(2, **changes)])))
    report = await importer.verify(table)

    assert report.messages[0].startswith(f"line 3, sequenceno 2 differs at sequence 2: {difference}")


async def test_comparison_finds_an_entry_without_a_row(importer: Importer) -> None:
    """A row in the middle that the table no longer has is named by its sequence."""
    await importer.run([altinn_row(number) for number in range(1, 5)])

    report = await importer.verify(CsvTable(io.BytesIO(csv_file([altinn_row(1), altinn_row(4)]))))

    assert [
        "Sequence 2 is sequenceno 2, which the table does not have.",
        "Sequence 3 is sequenceno 3, which the table does not have.",
    ] == list(report.messages)
