"""`eventfeed compare` of a double of the replaced platform and a real service with its events."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.altinn_events import AltinnEvents, running_platform
from tests.support.altinn_rows import AltinnRow, altinn_row, csv_file
from tests.support.service import KARI, KARIS_PARTY, RunningService, run_with_store, running_service

ROWS = [altinn_row(number) for number in range(1, 2_501)]
APP = ("--app", "ttd/apps-test")
KEEP = {"EVENTFEED_RETENTION_DAYS": "36500"}


@pytest.fixture(scope="module")
def imported_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with the rows of the platform."""
    folder = tmp_path_factory.mktemp("imported")
    (folder / "events.csv").write_bytes(csv_file(ROWS))
    store = f"sqlite:///{folder}/.eventfeed/log.db"
    assert run_with_store(folder, "migrate", "events.csv", store=store, **KEEP).returncode == 0
    with running_service(folder, **KEEP) as service:
        yield service


def compare(
    service: RunningService, rows: Sequence[AltinnRow], *options: str, failures: int = 0
) -> tuple[subprocess.CompletedProcess[bytes], AltinnEvents]:
    """Compare the platform with these rows with the service."""
    with running_platform(AltinnEvents(rows)) as platform:
        platform.failures = failures
        return service.run_command("compare", platform.url, service.url, *options, EVENTFEED_OLD_TOKEN="old"), platform


def test_imported_feed_has_no_difference(imported_service: RunningService) -> None:
    """Both systems return the same events in the same order, page by page, also after a failure."""
    result, platform = compare(imported_service, ROWS, *APP, failures=1)

    summary = "old 2500 events, new 2500: missing 0, extra 0, doubled 0, different 0, reordered 0\n"
    assert (0, summary, b"") == (result.returncode, result.stdout.decode(), result.stderr)
    assert 5 == len(platform.requests)


def test_differences_of_each_kind_are_lines_and_exit_code_1(imported_service: RunningService) -> None:
    """The old system has one event more, one less, one moved, one twice, and one with another type."""
    changed = [*ROWS[:10], altinn_row(11, type="other"), *ROWS[11:]]
    moved = [*changed[:20], *changed[21:50], changed[20], *changed[50:]]
    rows = [*moved[:100], *moved[101:700], ROWS[500], *moved[700:], altinn_row(3_000)]
    rows = [row._replace(number=number) for number, row in enumerate(rows, start=1)]

    result, _ = compare(imported_service, rows, *APP)
    *lines, summary = result.stdout.decode().splitlines()

    assert 1 == result.returncode
    assert ["missing", "extra", "doubled", "different", "reordered"] == [line.partition(":")[0] for line in lines]
    assert "old 2501 events, new 2500: missing 1, extra 1, doubled 1, different 1, reordered 1" == summary


def test_feed_is_compared_from_a_time(imported_service: RunningService) -> None:
    """Earlier events do not count, in whichever system they are."""
    result, _ = compare(imported_service, ROWS[1_500:], *APP, "--from", "2026-01-01T12:30:00Z")

    assert (0, b"") == (result.returncode, result.stderr)
    assert result.stdout.startswith(b"old 701 events, new ")


def test_feed_of_a_resource_is_compared(imported_service: RunningService) -> None:
    """The owner of the resource sees its events in both systems."""
    result, platform = compare(imported_service, ROWS, "--resource", "urn:altinn:resource:app_ttd_apps-test")

    assert (0, b"") == (result.returncode, result.stderr)
    assert all(each.startswith("/events/api/v1/events?") for each in platform.requests)


def test_feed_of_a_party_is_compared(imported_service: RunningService) -> None:
    """Kari sees the same events in both systems, and another caller misses them in the new one."""
    option = ("--party", KARIS_PARTY)
    kari = imported_service.person_token(KARI)
    with running_platform(AltinnEvents(ROWS)) as platform:
        command = ["compare", platform.url, imported_service.url, *option]
        own = imported_service.run_command(*command, EVENTFEED_OLD_TOKEN="old", EVENTFEED_TOKEN=kari)
        other = imported_service.run_command(*command, EVENTFEED_OLD_TOKEN="old")

    assert (0, b"") == (own.returncode, own.stderr)
    assert 1 == other.returncode
    assert b"new 0: missing 2500, extra 0" in other.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["URL", "URL"], "Name one feed"),
        (["URL", "URL", "--app", "ttd/a", "--party", "1"], "Name one feed"),
        (["URL", "URL", "--app", "ttd"], "ttd is not an app"),
        (["URL", "URL", "--party", "x"], "x is not a party"),
        (["ftp://x", "URL", *APP], "ftp://x is not the URL of a service"),
        (["URL", "URL", *APP, "--from", "today"], "'today' is not a time with an offset"),
        (["URL", "URL", *APP, "--old-token-file", "missing"], "missing"),
    ],
)
def test_wrong_use_is_exit_code_2(imported_service: RunningService, arguments: Sequence[str], message: str) -> None:
    """Each message names the option and the fix."""
    words = [imported_service.url if each == "URL" else each for each in arguments]

    result = imported_service.run_command("compare", *words)

    assert (2, True) == (result.returncode, message in result.stderr.decode())


def test_refused_token_and_silent_system_are_named(imported_service: RunningService, tmp_path: Path) -> None:
    """A failure is one message, and no difference is printed."""
    (tmp_path / "token").write_text("")
    with running_platform(AltinnEvents(ROWS)) as platform:
        refused = imported_service.run_command("compare", platform.url, imported_service.url, *APP)
        wrong = ["compare", platform.url, "http://127.0.0.1:1", *APP]
        silent = imported_service.run_command(*wrong, EVENTFEED_OLD_TOKEN="old", EVENTFEED_TOKEN="new")

    assert (1, b"") == (refused.returncode, refused.stdout)
    assert b"/events/api/v1/app/ttd/apps-test: 401" in refused.stderr
    assert (1, b"") == (silent.returncode, silent.stdout)
    assert b"No service answers at http://127.0.0.1:1" in silent.stderr


def test_token_is_read_again_from_its_file_when_it_is_refused(imported_service: RunningService, tmp_path: Path) -> None:
    """A long comparison outlives a token that another program renews."""
    token = tmp_path / "token"
    token.write_text("expired")
    with running_platform(AltinnEvents(ROWS, renew=lambda: token.write_text("renewed"))) as platform:
        options = ["--old-token-file", str(token), *APP]
        result = imported_service.run_command("compare", platform.url, imported_service.url, *options)

    assert (0, b"") == (result.returncode, result.stderr)
