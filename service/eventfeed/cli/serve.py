"""`eventfeed serve`: the service in this process and its workers."""

import asyncio
import contextlib
import multiprocessing
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import msgspec
from granian import Granian
from granian.constants import Interfaces, Loops
from granian.log import LogLevels

from eventfeed.app.application import Store, application, first_approvals, new_event_id, now
from eventfeed.cli.observe import observed
from eventfeed.domain.event import REQUEST_EVENTS_MAX
from eventfeed.domain.publishing import Submission
from eventfeed.http.publishing.cloudevents import EventDefaults, Sent, parse_events
from eventfeed.sample import sample_events, sample_instance
from eventfeed.settings import Settings, SettingsError, hand_down

# Requests in flight at a stop get this long.
STOP_SECONDS_MAX = 20
# Requests under way at once in each process, beside those that wait for events.
REQUESTS_MAX = 1_024
# How long the greeting waits for a worker.
READY_SECONDS_MAX = 60.0
READY_POLL_SECONDS = 0.1
SAMPLE_SEED = 1
SAMPLE_CASES = 300

_ORG = "token maskinporten --org-number {} --scope {} --exchange"
_PERSON = "token id-porten --person {} --exchange"
_SINCE = "2020-01-01T00:00:00Z"


class Pasted(NamedTuple):
    """A line that can be pasted: what it shows, as whom (nobody when empty), and what of the service is asked how."""

    shows: str
    identity: str
    path: str
    body: str = ""


_PASTED = (
    Pasted(
        "S1: an org asks what its app has completed",
        _ORG.format("991825827", "altinn:events/ttd/bolig"),
        f"/events/api/v1/app/ttd/bolig?from={_SINCE}&eventType=instance.process.completed",
    ),
    Pasted(
        "S2: Kari asks what is new for her",
        _PERSON.format("Kari"),
        "/events/api/v1/party/",
        f'{{"from":"{_SINCE}"}}',
    ),
    Pasted(
        "S3: an accountant asks what is new for the bakery",
        _ORG.format("310000022", "altinn:events"),
        "/events/api/v1/party/",
        f'{{"from":"{_SINCE}","unit":"310000011"}}',
    ),
    Pasted(
        "S4: an approved bank hears of death estates",
        _ORG.format("310000033", "altinn:events/reportees"),
        f"/events/api/v1/reportees?from={_SINCE}&eventType=estate.created",
    ),
    Pasted(
        "S5: whoever holds an instance id asks for feedback",
        "",
        f"/events/instanceeventsforinstance/{sample_instance(SAMPLE_SEED, cases=SAMPLE_CASES)}",
        "{}",
    ),
)


def serve(settings: Settings, *, sample: bool, observe: bool) -> None:
    """Serve until stopped. Raises `SettingsError` or `LogDamaged` before anything is served, when it must not be."""
    _require_free(settings)
    asyncio.run(_prepare(settings, sample=sample))
    hand_down(settings)
    with observed(settings.port) if observe else contextlib.nullcontext("") as page:
        _serve(settings, page=page)


def _serve(settings: Settings, *, page: str) -> None:
    # A worker begins with nothing of this process: a forked one would inherit its threads' locks as they stand.
    multiprocessing.set_start_method("spawn")
    granian = Granian(
        "eventfeed.app.application:create",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        loop=Loops.uvloop,
        websockets=False,
        factory=True,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS_MAX,
        # Whoever waits is a request under way.
        backpressure=settings.streams + settings.waits + REQUESTS_MAX,
    )
    threading.Thread(target=_announce, args=(settings, page), daemon=True).start()
    granian.serve()


async def _prepare(settings: Settings, *, sample: bool) -> None:
    """Make the store and the keys, so that workers find them; fill an empty log with sample events."""
    application(settings)
    store = Store(settings)
    async with store.running():
        if settings.development:
            for approval in first_approvals(settings):
                await store.access.approve(approval, seed=True)
        if sample and settings.development and store.tail.head.end_offset == 0:
            await _fill(store)


async def _fill(store: Store) -> None:
    texts = [msgspec.json.encode(event) for event in sample_events(SAMPLE_SEED, cases=SAMPLE_CASES, until=now())]
    for start in range(0, len(texts), REQUEST_EVENTS_MAX):
        batch = Sent(texts=texts[start : start + REQUEST_EVENTS_MAX], batch=True)
        events = parse_events(batch, EventDefaults(new_id=new_event_id, now=now()), from_app=True)
        pointers = [batch.pointer(place) for place in range(len(events))]
        await store.appender.publish(Submission(events=events, pointers=pointers, admin=True))


def _require_free(settings: Settings) -> None:
    """Say plainly that an address is taken, before the server's workers each do in their own way."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as failure:
            raise SettingsError(
                f"Cannot listen on {settings.host}:{settings.port}: {failure.strerror}. "
                "Choose another with --port, or stop what is there.",
            ) from None


def _announce(settings: Settings, page: str) -> None:
    """Once the service is ready, say where it is; in development also what can be pasted to see it work."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{settings.own_url}/health/ready", trust_env=False).is_success:
                sys.stdout.write(_greeting(settings, page=page))
                sys.stdout.flush()
                return
        time.sleep(READY_POLL_SECONDS)


def _greeting(settings: Settings, *, page: str) -> str:
    place = settings.public_url.rstrip("/") or settings.own_url
    ready = [f"eventfeed is ready on {place}", f"  the API, to read and to try: {place}/schema"]
    return "\n".join([*ready, *([f"  traces and charts: {page}"] if page else []), "", *_lines(settings)])


def _lines(settings: Settings) -> Iterator[str]:
    """What can be pasted to see each scenario work, where development identities exist."""
    for each in _PASTED if settings.development else ():
        yield f"{each.shows}. Paste:"
        if each.identity:
            token = f"$({sys.argv[0]} {each.identity} --url {settings.own_url})"
            yield f'  curl -sS -H "Authorization: Bearer {token}" \\'
        else:
            yield "  curl -sS \\"
        if each.body:
            yield f"    -H 'Content-Type: application/json' --data '{each.body}' \\"
        yield f'    "{settings.own_url}{each.path}"'
        yield ""
