"""Messages of `eventfeed migrate` for sources that cannot be imported."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from eventfeed.cli import run
from tests.support.altinn_rows import altinn_row, csv_file


@pytest.mark.parametrize(
    ("source", "options", "code", "message"),
    [
        ("missing.csv", [], 2, "missing.csv is no file and no postgresql:// URL"),
        (".", [], 2, ". is no file and no postgresql:// URL"),
        ("mysql://host/db", [], 2, "is no file and no postgresql:// URL"),
        ("", [], 2, "is empty"),
        ("empty.csv", [], 1, "Line 1 must name the columns"),
        ("postgresql://user:secret@127.0.0.1:1/db", [], 1, "The table cannot be read: "),
        ("postgresql://user:secret@127.0.0.1:port/db", [], 1, "The table cannot be read: "),
        ("postgresql://user:secret@127.0.0.1:1/db", ["--table", "events; DROP"], 1, "write SCHEMA.NAME"),
        ("old.csv", ["--table", "events.events_app"], 2, "old.csv has the columns of events.events, not of events."),
        ("app.csv", ["--table", "events.events"], 2, "app.csv has the columns of events.events_app, not of events."),
        ("app.csv", ["--table", "events"], 2, "leave out --table"),
        ("app.csv", ["--table", "events_app;"], 2, "leave out --table"),
        ("app.csv", ["--table", "events.events_app"], 1, "line 2, sequenceno 1 was registered"),
        ("old.csv", ["--table", "events.events"], 1, "line 2, sequenceno 1 was registered"),
        ("app.csv", [], 1, "line 2, sequenceno 1 was registered"),
        ("old.csv", [], 1, "line 2, sequenceno 1 was registered at 2026-01-01T12:00:01.500000Z"),
    ],
)
def test_source_that_cannot_be_imported_is_refused_with_words(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    source: str,
    options: Sequence[str],
    code: int,
    message: str,
) -> None:
    """One message without a traceback and without a password."""
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "old.csv").write_bytes(csv_file([altinn_row(1)]))
    (tmp_path / "app.csv").write_bytes(csv_file([altinn_row(1)], ("sequenceno", "cloudevent", "time")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENTFEED_RETENTION_DAYS", "1")

    actual = run(["migrate", source, *options])
    error = capsys.readouterr().err

    assert code == actual
    assert message in error
    assert "Traceback" not in error
    assert "secret" not in error


def test_driver_of_another_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The base does not install the driver of PostgreSQL."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    monkeypatch.delitem(sys.modules, "eventfeed.app.migration.postgres_table", raising=False)

    code = run(["migrate", "postgresql://127.0.0.1:1/db"])

    assert (2, "asyncpg is not installed; this command needs: pip install 'eventfeed[migrate]'\n") == (
        code,
        capsys.readouterr().err,
    )
