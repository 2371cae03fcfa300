"""Commands that destroy or end something in a store: what they say first, and what they need to do it."""

import asyncio
import os
import pty
import subprocess
from pathlib import Path

import pytest

from eventfeed.app.store import Store
from eventfeed.domain.event import Entry
from eventfeed.domain.moment import parse_moment
from eventfeed.domain.ports import Head
from eventfeed.settings import Settings
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.events import event
from tests.support.service import COMMAND, COMMAND_SECONDS_MAX, clean_environment, run_with_store

HOURS = [f"2026-01-31T{hour:02d}:00:00Z" for hour in range(10, 15)]


@pytest.fixture
def store(new_store: str) -> str:
    """The address of a store of each engine with five events, one an hour."""
    asyncio.run(_fill(new_store))
    return new_store


async def _fill(address: str) -> None:
    await Store(Settings(store=address), Telemetry()).create()
    times = [parse_moment(each) or 0 for each in HOURS]
    entries = [
        Entry(sequence=number, time=time, write_id="write", event=event()) for number, time in enumerate(times, start=1)
    ]
    async with (store := Store(Settings(store=address), Telemetry())).open():
        await store.log.append(entries, after=0)


def head_of(address: str) -> Head:
    """Return both ends of the log in a store."""

    async def read() -> Head:
        async with (store := Store(Settings(store=address), Telemetry())).open():
            return await store.log.head()

    return asyncio.run(read())


@pytest.mark.parametrize("arguments", [["new-log"], ["trim", "--before", HOURS[2]]])
def test_unconfirmed_command_changes_nothing(store: str, tmp_path: Path, arguments: list[str]) -> None:
    """Without a terminal the command needs `--yes`."""
    before = head_of(store)
    result = run_with_store(tmp_path, "store", *arguments, store=store)

    assert (2, b"") == (result.returncode, result.stdout)
    assert b"Nothing was changed. Add --yes" in result.stderr
    assert before == head_of(store)


def test_new_log_says_what_it_ends_and_the_new_name(store: str, tmp_path: Path) -> None:
    """The old name and the end are on standard error, the new name on standard output."""
    before = head_of(store)
    result = run_with_store(tmp_path, "store", "new-log", "--yes", store=store)
    after = head_of(store)

    assert (0, 5) == (result.returncode, after.end_offset)
    assert before.log != after.log
    assert f"ends the log {before.log}, which ends at sequence 5" in result.stderr.decode()
    assert f"The log now has the name {after.log}." in result.stdout.decode()


def test_trim_deletes_the_events_before_a_time(store: str, tmp_path: Path) -> None:
    """The command says first how many events it deletes, and the times of the first and the last."""
    result = run_with_store(tmp_path, "store", "trim", "--before", HOURS[2], "--yes", store=store)

    assert 0 == result.returncode, result.stderr
    assert (
        "This deletes 2 events, registered from 2026-01-31T10:00:00.000000Z to 2026-01-31T11:00:00.000000Z."
        in result.stderr.decode()
    )
    assert "Deleted 2 events. The oldest event has sequence 3.\n" == result.stdout.decode()
    assert (2, 5) == ((after := head_of(store)).log_start, after.end_offset)


def test_trim_keeps_the_newest_event(store: str, tmp_path: Path) -> None:
    """The newest event stays at any age; a second trim has nothing to delete and asks nothing."""
    first = run_with_store(tmp_path, "store", "trim", "--before", "2027-01-01T00:00:00Z", "--yes", store=store)
    second = run_with_store(tmp_path, "store", "trim", "--before", "2027-01-01T00:00:00Z", store=store)

    assert b"This deletes 4 events" in first.stderr
    assert (0, b"", True) == (second.returncode, second.stderr, second.stdout.startswith(b"No event was deleted"))
    assert (4, 5) == ((after := head_of(store)).log_start, after.end_offset)


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
@pytest.mark.parametrize("text", ["2026-01-31", "yesterday", "2026-01-31T12:00:00"])
def test_trim_before_no_time_is_refused(store: str, tmp_path: Path, text: str) -> None:
    """The message has the option, the text and an example."""
    result = run_with_store(tmp_path, "store", "trim", "--before", text, "--yes", store=store)

    assert 2 == result.returncode
    assert (
        f"Invalid value for '--before': {text!r} is not a time with an offset, such as 2026-01-31T12:00:00Z."
        in result.stderr.decode()
    )
    assert 0 == head_of(store).log_start


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("answer", "exit_code", "log_start"), [("y\n", 0, 2), ("n\n", 1, 0), ("\n", 1, 0)])
def test_terminal_asks_for_a_confirmation(
    store: str, tmp_path: Path, answer: str, exit_code: int, log_start: int
) -> None:
    """Only a yes does it; the default is no."""
    command = [COMMAND, "store", "trim", "--before", HOURS[2]]
    terminal, keyboard = pty.openpty()
    os.write(terminal, answer.encode())
    try:
        result = subprocess.run(
            command,
            cwd=tmp_path,
            env=clean_environment(EVENTFEED_STORE=store),
            stdin=keyboard,
            capture_output=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
    finally:
        os.close(terminal)
        os.close(keyboard)

    assert (exit_code, log_start) == (result.returncode, head_of(store).log_start)
    assert b"This deletes 2 events" in result.stderr
    assert (b"Nothing was changed." in result.stderr) == (exit_code == 1)
