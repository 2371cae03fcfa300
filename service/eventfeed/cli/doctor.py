"""`eventfeed doctor`: what is wrong around the service, and how to mend it."""

import asyncio
import contextlib
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec

from eventfeed.app.diagnosis import (
    Finding,
    app_key_findings,
    disk_findings,
    issuer_findings,
    key_findings,
    settings_findings,
    store_findings,
)
from eventfeed.cli.server import OTHER_FILES, REQUESTS_MAX, listening_socket
from eventfeed.settings import Settings, SettingsError, from_environment

HEALTH_SECONDS_MAX = 5.0
# The state of a listening socket in /proc/net/tcp.
_LISTENING = "0A"


def findings(*, host: str | None, port: int | None) -> Iterator[Finding]:
    """Yield the result of each check. Settings that cannot be used end the checks."""
    try:
        settings = from_environment(host=host, port=port)
    except SettingsError as faults:
        for fault in str(faults).splitlines():
            yield Finding("settings", f"{fault}.", "Correct the environment of the service.")
        return
    yield from settings_findings(settings)
    yield from asyncio.run(store_findings(settings))
    yield from disk_findings(settings)
    yield from key_findings(settings)
    yield from asyncio.run(app_key_findings(settings))
    yield from asyncio.run(issuer_findings(settings))
    yield from _port_findings(settings)
    yield _limit_finding(settings)


def _port_findings(settings: Settings) -> Iterator[Finding]:
    """Check that the port is free, or held by a service that is ready."""
    address = f"{settings.host}:{settings.port}"
    try:
        with listening_socket(settings):
            yield Finding("port", f"{address} is free.")
            return
    except SettingsError as fault:
        failure, *_ = str(fault).partition(" Choose")
    holder = _holder(settings.port)
    if _get(settings, "/health/live") is None:
        remedy = "Stop that process, or choose another port with EVENTFEED_PORT."
        yield Finding("port", f"{holder} holds {address}." if holder else failure, remedy)
        return
    yield Finding("port", f"A running eventfeed service holds {address}{holder and f': {holder}'}.")
    body = _get(settings, "/health/ready") or {}
    if body.get("status") != "ready":
        detail = body.get("detail", "It does not respond.")
        yield Finding("service", f"It is not ready: {detail}", "See the troubleshooting table of docs/operating.md.")
    elif notice := body.get("notice"):
        yield Finding("service", f"It is ready. {notice}", "See the troubleshooting table of docs/operating.md.")
    else:
        yield Finding("service", "It is ready.")


def _get(settings: Settings, path: str) -> dict[str, str] | None:
    """Return the JSON object at this path of the service; None if another program answers."""
    with contextlib.suppress(httpx.HTTPError, msgspec.MsgspecError):
        response = httpx.get(f"{settings.own_url}{path}", trust_env=False, timeout=HEALTH_SECONDS_MAX)
        body = msgspec.json.decode(response.content, type=dict[str, object])
        if {"status", "code"} & body.keys():
            return {name: str(value) for name, value in body.items()}
    return None


def _holder(port: int) -> str:
    """Return the process that listens on a port, by number and name; "" if that cannot be known."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for descriptor in Path("/proc").glob("[0-9]*/fd/*") if sockets else ():
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()) in sockets:
                process = descriptor.parents[1]
                return f"process {process.name} ({(process / 'comm').read_text().strip()})"
    return ""


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _limit_finding(settings: Settings) -> Finding:
    """Check the hard limit of open files, to which the service raises its own."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.streams + settings.waits + REQUESTS_MAX + OTHER_FILES
    limit = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    state = f"{hard if limit == hard else 'Any number of'} open files are allowed, and the settings need {needed}."
    remedy = f"Raise the hard limit to {needed}, or lower EVENTFEED_STREAMS and EVENTFEED_WAITS."
    return Finding("limits", state, "" if limit >= needed else remedy)
