"""Checks of a service's surroundings, for operators: settings, store, clock, disk, keys and issuers.

They change nothing.
"""

import asyncio
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx

from eventfeed.access.local import population_file
from eventfeed.access.policies import policies_file
from eventfeed.app.identity import http_client, require_private_development
from eventfeed.app.store import Store
from eventfeed.bounded_fetch import EnvironmentTransport, fetch
from eventfeed.domain.errors import Failure, Unavailable
from eventfeed.domain.moment import format_moment
from eventfeed.identity.app_keys import is_issuer, issuer_of, parse_keys, read_key_file
from eventfeed.identity.discovery import fetch_keys
from eventfeed.identity.keys import SigningKeys
from eventfeed.log.clock import CLOCK_SKEW_MAX, MachineClock
from eventfeed.log.sqlite.clock_reference import ClockReference
from eventfeed.network import EnvironmentVariableError
from eventfeed.settings import Settings, SettingsError
from eventfeed.telemetry.telemetry import Telemetry

# Below it a full disk is near: some hours of events.
FREE_BYTES_MIN = 1 << 30
# Standards for signing keys ask for a rotation in one or two years.
KEY_DAYS_MAX = 365
_DAY_SECONDS = 24 * 3_600
_CLOCK_REMEDY = (
    "Correct the clock and run a time service. If the clock is right, stop all processes of the store, then start them."
)


class Finding(NamedTuple):
    """The result of a check: its subject, a sentence on its state, and a remedy, "" if the state is right."""

    subject: str
    state: str
    remedy: str = ""


def settings_findings(settings: Settings) -> Iterator[Finding]:
    """Check the files that the settings name, and identities of the development."""
    try:
        require_private_development(settings)
        if not settings.platform_url:
            population_file(Path(settings.register) if settings.register else None)
            policies_file(Path(settings.policies) if settings.policies else None)
    except SettingsError as fault:
        yield Finding("settings", str(fault), "Correct the setting or the file.")
    else:
        yield Finding("settings", "Every setting is known and valid.")


async def store_findings(settings: Settings) -> list[Finding]:
    """Check the store, and the clock against its reference."""
    if settings.cosmos is None and not settings.sqlite_path.exists():
        return [Finding("store", f"{settings.sqlite_path} does not exist yet. The service makes it at its start.")]
    store = Store(settings, Telemetry())
    try:
        async with store.open_to_read():
            head = await store.log.head()
    except (Failure, SettingsError, OSError) as failure:
        return [Finding("store", str(failure), "See the troubleshooting table of docs/operating.md.")]
    state = f"The log {head.log} has {head.events_text}."
    if settings.cosmos is None:
        return [Finding("store", state), clock_finding(settings.clock_path, store.clock, newest=head.time)]
    store.clock.check()
    if store.clock.is_accurate:
        return [Finding("store", state), Finding("clock", "It agrees with the clock of the store.")]
    return [Finding("store", state), Finding("clock", store.clock.describe(), _CLOCK_REMEDY)]


def clock_finding(path: Path, clock: MachineClock, *, newest: int) -> Finding:
    """Compare the clock with the processes of a SQLite store that run, else with its newest event (µs)."""
    try:
        has_reference = ClockReference(path, clock).adopt()
    except OSError as failure:
        return Finding("clock", f"{path} cannot be opened: {failure.strerror}.", "Run this as the user of the service.")
    if has_reference and not clock.is_accurate:
        return Finding("clock", clock.describe(), _CLOCK_REMEDY)
    if has_reference:
        return Finding("clock", "It agrees with the processes of the store that run.")
    if clock.wall() < newest * 1_000 - CLOCK_SKEW_MAX:
        state = f"It is behind the newest event, which was registered at {format_moment(newest)}."
        return Finding("clock", state, _CLOCK_REMEDY)
    return Finding("clock", "It is not behind the newest event. No process of the store runs to compare with.")


def disk_findings(settings: Settings) -> Iterator[Finding]:
    """Check the free space of the disk, and the permissions of the store's files."""
    if settings.cosmos is not None:
        return
    folder = settings.sqlite_path.parent
    existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(existing).free
    state = f"{free / (1 << 30):.1f} GiB are free for {folder}."
    yield Finding("disk", state, "" if free >= FREE_BYTES_MIN else "Make room, or move the store to a larger disk.")
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Finding("disk", f"{existing} is not writable.", "Give the user of the service the right to write there.")
    files = sorted(
        each for name in (settings.sqlite_path, settings.access_path) for each in folder.glob(f"{name.name}*")
    )
    yield from _permission_findings("disk", files)


async def issuer_findings(settings: Settings) -> list[Finding]:
    """Check that the keys of each issuer can be fetched."""
    issuers = (settings.maskinporten_issuer, settings.idporten_issuer, settings.platform_issuer)
    try:
        async with http_client(settings) as client:
            return await asyncio.gather(*(_issuer_finding(each, client) for each in filter(None, issuers)))
    except EnvironmentVariableError as fault:
        return [Finding("issuer", str(fault), "Correct the environment of the service.")]


async def _issuer_finding(issuer: str, client: httpx.AsyncClient) -> Finding:
    try:
        keys = await fetch_keys(issuer, client, telemetry=Telemetry())
    except Unavailable as failure:
        remedy = "Compare the setting with `issuer` in the discovery document, and open the network to that host."
        return Finding("issuer", f"The keys of {issuer} cannot be fetched. {failure}", remedy)
    return Finding("issuer", f"{issuer} has {len(keys)} usable keys.")


def key_findings(settings: Settings) -> Iterator[Finding]:
    """Check that the signing keys are readable by this user alone, valid, and not old."""
    folder = settings.keys_path / "platform"
    files = sorted(folder.glob("*.pem")) if folder.is_dir() else []
    if not files:
        yield Finding("keys", f"There is no key in {folder} yet. The service makes one at its start.")
        return
    try:
        SigningKeys.load(folder)
        age = (time.time() - files[-1].stat().st_mtime) / _DAY_SECONDS
    except (SettingsError, OSError) as fault:
        yield Finding("keys", str(fault), "Replace the file, or make it readable for the user of the service.")
        return
    state = f"{files[-1]} signs tokens. It is {age:.0f} days old."
    remedy = "Rotate it: see docs/operating.md, Rotate signing keys." if age > KEY_DAYS_MAX else ""
    yield Finding("keys", state, remedy)
    yield from _permission_findings("keys", files)


async def app_key_findings(settings: Settings) -> list[Finding]:
    """Check that the public keys of app tokens can be read, if the settings name a source of them."""
    if not settings.app_token_keys:
        return []
    if url := settings.app_token_keys_url:
        return [await _address_finding(url)]
    return list(_directory_findings(Path(settings.app_token_keys)))


def _directory_findings(directory: Path) -> Iterator[Finding]:
    try:
        names = sorted(each.name for each in directory.iterdir() if issuer_of(each.name) is not None)
    except OSError as failure:
        remedy = "Make the directory, or let the user of the service read it."
        yield Finding("app keys", f"{directory} cannot be read: {failure.strerror}.", remedy)
        return
    if not names:
        remedy = "Put a file {issuer}.jwks.json or {issuer}.pem there for each organisation whose apps publish."
        yield Finding("app keys", f"{directory} has no keys.", remedy)
    yield from (_key_file_finding(directory / name) for name in names)


async def _address_finding(url: str) -> Finding:
    try:
        async with httpx.AsyncClient(transport=EnvironmentTransport([url]), trust_env=False) as client:
            document = await fetch(client, client.build_request("GET", f"{url.rstrip('/')}/"), service=url)
    except Unavailable as failure:
        return Finding("app keys", str(failure), "Correct EVENTFEED_APP_TOKEN_KEYS, or the network of the service.")
    except EnvironmentVariableError as fault:
        return Finding("app keys", str(fault), "Correct the environment of the service.")
    is_wrong = httpx.codes.is_server_error(document.status)
    return Finding(
        "app keys", f"{url} responds with status {document.status}.", "Ask its operator." if is_wrong else ""
    )


def _key_file_finding(file: Path) -> Finding:
    issuer = issuer_of(file.name) or ""
    if not is_issuer(issuer):
        remedy = "Begin its name with the short name of an organisation: 2 to 20 lower-case letters and digits."
        return Finding("app keys", f"{file} is never read.", remedy)
    try:
        keys = parse_keys(file.name, read_key_file(file) or b"", now=time.time_ns())
    except (OSError, ValueError) as fault:
        return Finding("app keys", f"{file} cannot be used: {fault}.", "Replace the file.")
    return Finding("app keys", f"{file} has keys of {issuer}: {len(keys)}.")


def _permission_findings(subject: str, files: list[Path]) -> Iterator[Finding]:
    """Yield a finding for each file that other users may read or write."""
    for file in files:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield Finding(subject, f"Other users may open {file}.", f"Run: chmod 600 {file}")
