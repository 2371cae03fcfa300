"""The events of the benchmark, about 300 bytes each and all of one app, and tokens to publish and read them."""

import json
import time
import uuid

import httpx

from loadtests.benchmark.servers import Server

APP = "ttd/bench"
FEED = f"/events/api/v1/app/{APP}"
TYPE = "instance.process.completed"
PUBLISH = "/events/api/v1/app"
# The maximum of one request.
BATCH_EVENTS = 100

_ORGANISATION = "991825827"
_SCOPES = "altinn:events/ttd altinn:events.publish"


def event(*, party: int = 50000001, app: str | None = None, prefix: str = "") -> bytes:
    """A unique event about a party, of another app of `ttd` or of the benchmark's own."""
    guid = str(uuid.uuid4())
    return json.dumps(
        {
            "id": prefix + guid,
            "source": f"https://ttd.apps.example.no/{f'ttd/{app}' if app else APP}/instances/{party}/{guid}",
            "specversion": "1.0",
            "type": TYPE,
            "subject": f"/party/{party}",
            "data": "x" * 40,
        },
        separators=(",", ":"),
    ).encode()


def timed_event() -> bytes:
    """A unique event whose id begins with the present time (ns, the same clock in every process)."""
    return event(prefix=f"{time.monotonic_ns()}-")


def authorization(server: Server, *, organisation: str = _ORGANISATION, scopes: str = _SCOPES) -> dict[str, str]:
    """The header with a platform token of an organisation, from the development issuer and the exchange."""
    form = {"org_number": organisation, "scope": scopes}
    external = server.client.post("/development/maskinporten/token", data=form).raise_for_status().text
    platform = server.client.get("/authentication/api/v1/exchange/maskinporten", headers=_bearer(external))
    return _bearer(platform.raise_for_status().text)


def fill(server: Server, headers: dict[str, str], *, events: int) -> None:
    """Publish this many events."""
    for _ in range(events // BATCH_EVENTS):
        body = b"[%b]" % b",".join(event() for _ in range(BATCH_EVENTS))
        response = server.client.post(PUBLISH, content=body, headers={**headers, "Content-Type": "application/json"})
        if response.status_code != httpx.codes.CREATED:
            raise RuntimeError(response.text)


def log_end(server: Server, headers: dict[str, str]) -> tuple[str, int]:
    """The name of the log, and its last position."""
    response = server.client.get("/events/api/v1/head", headers=headers).raise_for_status()
    log, position = response.json()["cursor"].split(".")[:2]
    return log, int(position)


def path_from_end(server: Server, headers: dict[str, str]) -> str:
    """The path of the feed from the present end of the log."""
    log, position = log_end(server, headers)
    return f"{FEED}?after={log}.{position}"


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
