"""Publish events as the organisation `ttd`: paths, scopes, and events as an app sends them."""

import json
import uuid
from collections.abc import Mapping

import httpx

from tests.support.service import RunningService, bearer

PUBLISH_SCOPE = "altinn:events.publish"
PUBLISH_ADMIN_SCOPE = "altinn:events.publish.admin"
APP_PATH, EVENTS_PATH = "/events/api/v1/app", "/events/api/v1/events"
BATCH_MEDIA_TYPE, EVENT_MEDIA_TYPE = "application/cloudevents-batch+json", "application/cloudevents+json"


def app_event(app: str, **changes: object) -> dict[str, object]:
    """An event of an app of `ttd`, without an id, as an app sends it."""
    source = f"https://ttd.apps.example.no/ttd/{app}/instances/50000001/{uuid.uuid4()}"
    base = {"source": source, "specversion": "1.0", "type": "instance.created", "subject": "/party/50000001"}
    return {**base, **changes}


def cloud_event(app: str, **changes: object) -> dict[str, object]:
    """An event of an app of `ttd`, with an id."""
    return app_event(app, id=str(uuid.uuid4()), **changes)


def party_event(app: str, party: str, **changes: object) -> dict[str, object]:
    """An event of an app of `ttd` about a party, with an id."""
    source = f"https://ttd.apps.example.no/ttd/{app}/instances/{party}/{uuid.uuid4()}"
    base = {"id": str(uuid.uuid4()), "source": source, "specversion": "1.0", "type": "instance.created"}
    return {**base, "subject": f"/party/{party}", **changes}


def implied(event: Mapping[str, object]) -> dict[str, object]:
    """The attributes that the source of an app's event implies, which the service adds."""
    org, app, _, party, guid = str(event["source"]).split("/")[3:]
    return {"resource": f"urn:altinn:resource:app_{org}_{app}", "resourceinstance": f"{party}/{guid}"}


def post_events(
    service: RunningService,
    path: str,
    body: object,
    *,
    scope: str = PUBLISH_SCOPE,
    media_type: str = "application/json",
    **headers: str,
) -> httpx.Response:
    """Publish `body` as `ttd`: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    all_headers = {**bearer(service.token(scope)), "Content-Type": media_type, **headers}
    return service.client.post(path, content=content, headers=all_headers)
