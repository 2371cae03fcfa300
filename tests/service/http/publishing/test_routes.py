"""Routes that publish, in a service under load."""

import time
from pathlib import Path

import pytest
from litestar.testing import AsyncTestClient

from eventfeed.app.application import create_application
from eventfeed.app.store import Store
from eventfeed.identity.keys import SigningKeys
from eventfeed.log import appender
from eventfeed.settings import load
from eventfeed.telemetry.telemetry import Telemetry


async def test_publish_with_a_full_queue_is_refused_with_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The response has Retry-After, and no event is written."""
    monkeypatch.setattr(appender, "QUEUE_EVENTS_MAX", 1)
    settings = load({"EVENTFEED_STORE": f"sqlite:///{tmp_path}/log.db"})
    platform = SigningKeys.load(settings.keys_path / "platform")
    token = platform.sign(
        {
            "iss": f"{settings.own_url}/authentication/api/v1/openid/",
            "exp": int(time.time()) + 60,
            "scope": "altinn:events.publish altinn:events/ttd",
            "urn:altinn:org": "ttd",
            "urn:altinn:authenticatemethod": "maskinporten",
            "urn:altinn:authlevel": 3,
        },
    )
    source = "https://ttd.apps.example.no/ttd/a/instances/1/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c"
    event = {"source": source, "specversion": "1.0", "type": "t", "subject": "/party/1"}
    headers = {"Authorization": f"Bearer {token}"}
    await Store(settings, Telemetry()).create()
    async with AsyncTestClient(create_application(settings, Telemetry()), base_url="http://127.0.0.1:8080") as client:
        response = await client.post("/events/api/v1/app", json=[event, event], headers=headers)
        page = await client.get("/events/api/v1/app/ttd/a?after=0", headers=headers)

    assert (503, "unavailable") == (response.status_code, response.json()["code"])
    assert int(response.headers["retry-after"]) >= 1
    assert [] == page.json()
