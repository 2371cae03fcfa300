"""The events that are published and read: some 300 bytes each, all of one app."""

import json
import uuid

import httpx

from loadtests.benchmark.serving import Server

APP = "ttd/bench"
FEED = f"/events/api/v1/app/{APP}"
TYPE = "instance.process.completed"
PUBLISH = "/events/api/v1/app"
# What one request may hold.
BATCH_EVENTS = 100

_ORGANISATION = "991825827"
_SCOPES = "altinn:events/ttd altinn:events.publish"


def event(*, party: int = 50000001, app: str | None = None) -> bytes:
    """An event unlike all others, about a party, of an app of this organisation or the one of all figures."""
    guid = str(uuid.uuid4())
    return json.dumps(
        {
            "id": guid,
            "source": f"https://ttd.apps.example.no/{f'ttd/{app}' if app else APP}/instances/{party}/{guid}",
            "specversion": "1.0",
            "type": TYPE,
            "subject": f"/party/{party}",
            "data": "x" * 40,
        },
        separators=(",", ":"),
    ).encode()


def authorized(server: Server, *, organisation: str = _ORGANISATION, scopes: str = _SCOPES) -> dict[str, str]:
    """The header with a platform token to publish and read with: from the development issuer, exchanged."""
    form = {"org_number": organisation, "scope": scopes}
    external = server.client.post("/development/maskinporten/token", data=form).raise_for_status().text
    platform = server.client.get("/authentication/api/v1/exchange/maskinporten", headers=_bearer(external))
    return _bearer(platform.raise_for_status().text)


def fill(server: Server, headers: dict[str, str], *, events: int) -> None:
    """Publish the log that pages are read from."""
    for _ in range(events // BATCH_EVENTS):
        body = b"[%b]" % b",".join(event() for _ in range(BATCH_EVENTS))
        answer = server.client.post(PUBLISH, content=body, headers={**headers, "Content-Type": "application/json"})
        if answer.status_code != httpx.codes.CREATED:
            raise RuntimeError(answer.text)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
