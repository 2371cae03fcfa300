"""The checks of `eventfeed doctor`: each names what is wrong, and how to mend it."""

import json
import os
import resource
import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from eventfeed.app import diagnosis as module
from eventfeed.app.diagnosis import (
    Finding,
    app_key_findings,
    clock_finding,
    disk_findings,
    issuer_findings,
    key_findings,
    settings_findings,
    store_findings,
)
from eventfeed.app.store import Store
from eventfeed.cli import doctor
from eventfeed.identity.keys import SigningKeys
from eventfeed.log.sqlite.clock_reference import ClockReference
from eventfeed.settings import Settings
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.altinn_app import Certificate
from tests.support.engines import ManualClock, open_sqlite_log
from tests.support.events import entry
from tests.support.platform_issuer import platform_issuer
from tests.support.raw_server import running_server
from tests.support.service import free_port

HOUR = 3_600_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a service in an empty folder, on a free port."""
    return Settings(store=f"sqlite:///{tmp_path}/log.db", port=free_port())


def wrong(findings: Sequence[Finding] | Iterator[Finding]) -> list[tuple[str, str]]:
    """Return state and remedy of the findings that are wrong."""
    return [(each.state, each.remedy) for each in findings if each.remedy]


async def test_service_that_never_ran_has_no_fault(settings: Settings, tmp_path: Path) -> None:
    """The checks make no file."""
    findings = [
        *settings_findings(settings),
        *await store_findings(settings),
        *disk_findings(settings),
        *key_findings(settings),
    ]

    assert ["settings", "store", "disk", "keys"] == [each.subject for each in findings]
    assert [] == wrong(findings)
    assert [] == list(tmp_path.iterdir())


def test_invalid_register_file_is_a_wrong_setting(settings: Settings, tmp_path: Path) -> None:
    """The state names the setting and the file."""
    (tmp_path / "register.json").write_text("{")
    here = Settings(store=settings.store, register=str(tmp_path / "register.json"))
    ((state, remedy),) = wrong(settings_findings(here))

    assert "EVENTFEED_REGISTER" in state
    assert "Correct" in remedy


async def test_damaged_store_is_named(settings: Settings) -> None:
    """The file is no SQLite database."""
    settings.sqlite_path.write_bytes(b"no database" * 1_000)
    ((state, remedy),) = wrong(await store_findings(settings))

    assert "damaged" in state
    assert "docs/operating.md" in remedy


async def test_store_is_described_by_its_events(settings: Settings) -> None:
    """Its name, its first and its last event."""
    await Store(settings, Telemetry()).create()
    (no_events, _) = await store_findings(settings)
    async with open_sqlite_log(settings.sqlite_path) as log:
        await log.append([entry(1), entry(2)], after=0)
        name = (await log.head()).log
    store, clock = await store_findings(settings)

    assert Finding("store", f"The log {name} has no events.") == no_events
    assert Finding("store", f"The log {name} has the events 1 to 2.") == store
    assert ("clock", "") == (clock.subject, clock.remedy)


@pytest.mark.parametrize("step", [-5 * HOUR, 3 * HOUR, 60 * HOUR])
def test_clock_is_compared_with_the_processes_that_run(tmp_path: Path, step: int) -> None:
    """The check leaves their reference as it is."""
    reference = ClockReference(tmp_path / "log.clock", ManualClock())
    reference.open(newest=0)
    content = (tmp_path / "log.clock").read_bytes()
    right = clock_finding(tmp_path / "log.clock", ManualClock(), newest=0)
    shifted = clock_finding(tmp_path / "log.clock", ManualClock(ManualClock().now + step), newest=0)

    assert content == (tmp_path / "log.clock").read_bytes()
    reference.close()
    assert ("It agrees with the processes of the store that run.", "") == right[1:]
    assert f"{abs(step) // 1_000_000} s {'ahead of' if step > 0 else 'behind'}" in shifted.state
    assert "stop all processes of the store" in shifted.remedy


@pytest.mark.parametrize(("behind", "is_wrong"), [(0, False), (5_000_000, False), (5_000_001, True)])
def test_clock_without_a_process_is_compared_with_the_newest_event(
    tmp_path: Path, behind: int, *, is_wrong: bool
) -> None:
    """An idle store shows no more. The reference of earlier processes does not count."""
    earlier = ClockReference(tmp_path / "log.clock", ManualClock())
    earlier.open(newest=0)
    earlier.close()
    clock = ManualClock(ManualClock().now + 60 * HOUR)
    finding = clock_finding(tmp_path / "log.clock", clock, newest=clock.now + behind)

    assert is_wrong == bool(finding.remedy)


def test_full_disk_and_open_files_are_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remedy for a file is a command."""
    for name, mode in (("log.db", 0o644), ("log.db-wal", 0o600), ("log.access.db", 0o620), ("other", 0o666)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    monkeypatch.setattr(module, "FREE_BYTES_MIN", 1 << 60)
    (space, *files) = wrong(disk_findings(settings))

    assert "GiB are free" in space[0]
    assert [f"Run: chmod 600 {tmp_path}/log.access.db", f"Run: chmod 600 {tmp_path}/log.db"] == [
        remedy for _, remedy in files
    ]


def test_old_and_open_keys_are_named(settings: Settings, tmp_path: Path) -> None:
    """A new key of this user alone has no fault."""
    SigningKeys.load(folder := tmp_path / "keys" / "platform")
    before = wrong(key_findings(settings))
    (file,) = folder.glob("*.pem")
    file.chmod(0o644)
    os.utime(file, (0, 0))
    after = wrong(key_findings(settings))

    assert [] == before
    assert ["Rotate it: see docs/operating.md, Rotate signing keys.", f"Run: chmod 600 {file}"] == [
        remedy for _, remedy in after
    ]


def test_invalid_key_is_named(settings: Settings, tmp_path: Path) -> None:
    """The state names the file."""
    folder = tmp_path / "keys" / "platform"
    folder.mkdir(parents=True)
    (folder / "0001.pem").write_text("no key")
    ((state, _),) = wrong(key_findings(settings))

    assert f"{folder}/0001.pem" in state


async def test_keys_of_apps_are_checked_only_with_their_setting(settings: Settings) -> None:
    """Most services have none."""
    assert [] == await app_key_findings(settings)


async def test_each_file_with_keys_of_apps_is_checked(tmp_path: Path) -> None:
    """Usable keys are counted. A file that the service never reads or cannot use is wrong, other files are ignored."""
    here = Settings(app_token_keys=str(tmp_path))
    ((empty, _),) = wrong(await app_key_findings(here))
    (tmp_path / "ttd.pem").write_bytes(Certificate.make("a").pem + Certificate.make("b").pem)
    (tmp_path / "README").write_text("keys")
    right = await app_key_findings(here)
    (tmp_path / "skd.jwks.json").write_text("{}")
    (tmp_path / "Skatt.pem").write_bytes(Certificate.make("c").pem)
    (tmp_path / "nav.pem").write_bytes(Certificate.make("d", start=datetime.now(UTC) - timedelta(days=9), days=1).pem)
    (tmp_path / "ssb.jwks.json").write_text(json.dumps({"keys": [{}] * 101}))
    states = [state for state, _ in wrong(await app_key_findings(here))]

    assert empty == f"{tmp_path} has no keys."
    assert [Finding("app keys", f"{tmp_path}/ttd.pem has keys of ttd: 2.")] == right
    assert [f"{tmp_path}/{name}" for name in ("Skatt.pem", "nav.pem", "skd.jwks.json", "ssb.jwks.json")] == [
        state.split()[0] for state in states
    ]
    assert "it has 101 keys, which is more than 100" in states[-1]


async def test_missing_directory_of_app_keys_is_wrong(tmp_path: Path) -> None:
    """The remedy names what to do."""
    ((state, remedy),) = wrong(await app_key_findings(Settings(app_token_keys=str(tmp_path / "missing"))))

    assert f"{tmp_path}/missing cannot be read: No such file or directory." == state
    assert "Make the directory" in remedy


async def test_address_of_app_keys_must_respond() -> None:
    """It may refuse to list its files."""
    async with running_server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as url:
        right = await app_key_findings(Settings(app_token_keys=f"{url}/apps"))
    async with running_server(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n") as url:
        failing = wrong(await app_key_findings(Settings(app_token_keys=url)))
    away = wrong(await app_key_findings(Settings(app_token_keys=f"http://127.0.0.1:{free_port()}")))

    assert [] == wrong(right)
    assert "responds with status 500" in failing[0][0]
    assert "EVENTFEED_APP_TOKEN_KEYS" in away[0][1]


async def test_environment_that_no_request_can_use_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a finding beside the others, for issuers and for the keys of apps."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    app_keys = wrong(await app_key_findings(Settings(app_token_keys="https://keys.example.no")))
    issuers = wrong(await issuer_findings(replace(settings, platform_issuer="https://issuer.example.no")))

    assert all("SSL_CERT_FILE" in state and "environment" in remedy for state, remedy in (*app_keys, *issuers))
    assert (1, 1) == (len(app_keys), len(issuers))


def test_process_that_holds_the_port_is_named(settings: Settings) -> None:
    """Another program than eventfeed holds it."""
    with socket.socket() as other:
        other.bind((settings.host, settings.port))
        other.listen()
        other.settimeout(0)
        ((state, remedy),) = wrong(doctor._port_findings(settings))

    assert f"process {os.getpid()} (" in state
    assert f"holds 127.0.0.1:{settings.port}." in state
    assert "EVENTFEED_PORT" in remedy


@pytest.mark.parametrize(("limit", "is_wrong"), [(16_224, False), (16_223, True), (resource.RLIM_INFINITY, False)])
def test_limit_of_open_files_covers_the_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, limit: int, *, is_wrong: bool
) -> None:
    """Streams, waits, requests, and the files of the service."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, limit))
    finding = doctor._limit_finding(settings)

    assert is_wrong == bool(finding.remedy)
    assert "16224" in finding.state


async def test_issuer_without_usable_keys_is_named(settings: Settings) -> None:
    """Its document must name the very issuer of the setting. In development there is no issuer to request."""
    with platform_issuer() as issuer:
        with_issuer = replace(settings, platform_issuer=issuer.url)
        right = await issuer_findings(with_issuer)
        issuer.name = issuer.url.rstrip("/")
        (other_name,) = await issuer_findings(with_issuer)
    (no_response,) = await issuer_findings(with_issuer)

    assert [Finding("issuer", f"{issuer.url} has 1 usable keys.")] == right
    assert "names another issuer" in other_name.state
    assert "does not respond" in no_response.state
    assert all(issuer.url in each.state and each.remedy for each in (other_name, no_response))
    assert [] == await issuer_findings(settings)
