"""`eventfeed serve`: the service, in worker processes."""

import asyncio
import contextlib
import multiprocessing
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import msgspec

from eventfeed.app.access import first_approvals
from eventfeed.app.application import create_application
from eventfeed.app.store import Store, hold_clock, require_no_lost_log
from eventfeed.cli.observe import telemetry_page
from eventfeed.cli.pipe import discard_output
from eventfeed.cli.server import Server, listening_socket
from eventfeed.domain.cloudevents import REQUEST_EVENTS_MAX
from eventfeed.domain.moment import format_moment
from eventfeed.domain.publishing import Submission
from eventfeed.http.publishing.cloudevents import EventDefaults, RawEvents, parse_events
from eventfeed.sample import sample_events, sample_instance
from eventfeed.settings import Settings, hand_down
from eventfeed.telemetry.export import check_environment
from eventfeed.telemetry.logs import configure
from eventfeed.telemetry.telemetry import Telemetry

# The greeting waits this long for a worker.
READY_SECONDS_MAX = 60.0
READY_POLL_SECONDS = 0.1
SAMPLE_SEED = 1
SAMPLE_CASES = 300

_ORG = "token maskinporten --org-number {} --scope {} --exchange"
_PERSON = "token id-porten --person {} --exchange"
_SINCE = "2020-01-01T00:00:00Z"


class Example(NamedTuple):
    """A command to paste: its title, the command that gets its token ("" for none), and its request."""

    title: str
    token_command: str
    path: str
    body: str = ""


_EXAMPLES = (
    Example(
        "S1: an org reads the completed cases of its app",
        _ORG.format("991825827", "altinn:events/ttd/bolig"),
        f"/events/api/v1/app/ttd/bolig?from={_SINCE}&eventType=instance.process.completed",
    ),
    Example("S2: Kari reads her own events", _PERSON.format("Kari"), "/events/api/v1/party/", f'{{"from":"{_SINCE}"}}'),
    Example(
        "S3: an accountant reads the events of the bakery",
        _ORG.format("310000022", "altinn:events"),
        "/events/api/v1/party/",
        f'{{"from":"{_SINCE}","unit":"310000011"}}',
    ),
    Example(
        "S4: an approved bank reads all death estates",
        _ORG.format("310000033", "altinn:events/reportees"),
        f"/events/api/v1/reportees?from={_SINCE}&eventType=estate.created",
    ),
    Example(
        "S5: the holder of an instance id reads its public events",
        "",
        f"/events/instanceeventsforinstance/{sample_instance(SAMPLE_SEED, cases=SAMPLE_CASES)}",
        "{}",
    ),
)


def serve(settings: Settings, *, sample: bool, observe: bool) -> None:
    """Run the service until it is stopped. Raises `SettingsError` or `LogDamaged` before the first request."""
    check_environment()
    configure(settings.log_level, form=settings.log_format)
    with listening_socket(settings) as listener:
        asyncio.run(_prepare(settings, sample=sample))
        hand_down(settings)
        observing = telemetry_page(settings.port) if observe else contextlib.nullcontext("")
        with hold_clock(settings), observing as page:
            _serve(settings, listener, page=page)


def _serve(settings: Settings, listener: socket.socket, *, page: str) -> None:
    # A new interpreter for each worker: a forked one would inherit locks that a thread of this process holds.
    multiprocessing.set_start_method("spawn")
    server = Server(settings, listener)
    threading.Thread(target=_announce, args=(settings, page), daemon=True).start()
    server.serve()


async def _prepare(settings: Settings, *, sample: bool) -> None:
    """Create the store and the keys before the workers start; fill an empty log with sample events."""
    telemetry = Telemetry()
    create_application(settings, telemetry)
    require_no_lost_log(settings)
    store = Store(settings, telemetry)
    async with store.run(create=True):
        if settings.development:
            for approval in first_approvals(settings):
                await store.records.approve(approval, seed=True)
        if sample and settings.development and store.tail.head.end_offset == 0:
            await _fill(store)


async def _fill(store: Store) -> None:
    now = time.time_ns() // 1_000
    texts = [msgspec.json.encode(event) for event in sample_events(SAMPLE_SEED, cases=SAMPLE_CASES, until=now)]
    for start in range(0, len(texts), REQUEST_EVENTS_MAX):
        batch = RawEvents(texts=texts[start : start + REQUEST_EVENTS_MAX], batch=True)
        events = parse_events(batch, EventDefaults(new_id=uuid.uuid4, now=now, time=format_moment(now)), from_app=True)
        await store.appender.publish(Submission(events=events, pointers=batch.pointers(), admin=True))


def _announce(settings: Settings, page: str) -> None:
    """Print the address when the service is ready; in development also commands to paste."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{settings.own_url}/health/ready", trust_env=False).is_success:
                _print("\n".join(_greeting(settings, page=page)))
                return
        time.sleep(READY_POLL_SECONDS)


def _print(text: str) -> None:
    """Print a text. A full disk is no reason for a service to stop.

    Not by `sys.stdout`: if nobody reads, this thread would hold its lock, and with it the exit of the process.
    """
    try:
        os.write(sys.stdout.fileno(), text.encode())
    except OSError as failure:
        discard_output()
        sys.stderr.write(f"standard output: {failure.strerror}. The service runs.\n")


def _greeting(settings: Settings, *, page: str) -> Iterator[str]:
    """Yield the addresses, and with development identities a command for each scenario."""
    url = settings.public_url.rstrip("/") or settings.own_url
    yield from (f"eventfeed is ready on {url}", f"  the API, to read and try: {url}/schema")
    yield from ([f"  traces and charts: {page}"] if page else [])
    yield ""
    for each in _EXAMPLES if settings.development else ():
        yield f"{each.title}. Paste:"
        if each.token_command:
            token = f"$({sys.argv[0]} {each.token_command} --url {settings.own_url})"
            yield f'  curl -sS -H "Authorization: Bearer {token}" \\'
        else:
            yield "  curl -sS \\"
        if each.body:
            yield f"    -H 'Content-Type: application/json' --data '{each.body}' \\"
        yield f'    "{settings.own_url}{each.path}"'
        yield ""
