"""The limit on the events of an organisation (contract section 9, quotas)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.altinn_app import AltinnApp, Certificate
from tests.support.feeds import app_feed_events, assert_problem
from tests.support.publishing import APP_PATH, EVENTS_PATH, PUBLISH_ADMIN_SCOPE, app_event, cloud_event, post_events
from tests.support.service import KARI, SKD, RunningService, bearer, running_service

CERTIFICATE = Certificate.make("ttd")
SOURCE_OF_SKD = "https://skd.apps.example.no/skd/tax/instances/50000001/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c"
# At one event a second, the next request waits longer than a test takes.
BATCH_EVENTS = 100


@pytest.fixture
def slow_service(tmp_path: Path) -> Iterator[RunningService]:
    """A service that takes one event a second of each organisation, and has the certificate of `ttd`."""
    (tmp_path / "ttd.pem").write_bytes(CERTIFICATE.pem)
    with running_service(tmp_path, EVENTFEED_PUBLISH_RATE="1", EVENTFEED_APP_TOKEN_KEYS=str(tmp_path)) as service:
        yield service


def test_event_over_the_limit_is_429_and_not_written(slow_service: RunningService, app: str) -> None:
    """A request may have more events than a second: the next one waits for as long. Both routes share the limit."""
    batch = [cloud_event(app) for _ in range(BATCH_EVENTS)]
    post_events(slow_service, APP_PATH, batch).raise_for_status()

    for path, media_type in ((APP_PATH, "application/json"), (EVENTS_PATH, "application/cloudevents+json")):
        refusal = post_events(slow_service, path, cloud_event(app), media_type=media_type)
        assert_problem(refusal, 429, "too-many-requests")
        assert 1 < int(refusal.headers["retry-after"]) <= BATCH_EVENTS
    assert [event["id"] for event in batch] == [event["id"] for event in app_feed_events(slow_service, app)]


def test_limit_of_one_organisation_does_not_affect_another(slow_service: RunningService, app: str) -> None:
    """Each has its own, also for a refused request."""
    post_events(slow_service, APP_PATH, [cloud_event(app) for _ in range(BATCH_EVENTS)]).raise_for_status()
    token = slow_service.token("altinn:events.publish", organisation=SKD)
    response = slow_service.client.post(APP_PATH, json=app_event(app, source=SOURCE_OF_SKD), headers=bearer(token))

    assert 429 == post_events(slow_service, APP_PATH, cloud_event(app), scope=PUBLISH_ADMIN_SCOPE).status_code
    assert 201 == response.status_code


def test_refused_event_is_not_counted(slow_service: RunningService, app: str) -> None:
    """An invalid event, or one of another organisation, uses nothing of the limit."""
    for _ in range(5):
        assert 400 == post_events(slow_service, APP_PATH, app_event(app, type="")).status_code
        assert 403 == post_events(slow_service, APP_PATH, app_event(app, source=SOURCE_OF_SKD)).status_code

    assert 201 == post_events(slow_service, APP_PATH, cloud_event(app)).status_code


def test_app_token_shares_the_limit_of_its_organisation(slow_service: RunningService, app: str) -> None:
    """The user of the app is none of its organisation, and has no limit of her own."""
    post_events(slow_service, APP_PATH, [cloud_event(app) for _ in range(BATCH_EVENTS)]).raise_for_status()
    headers = {
        **bearer(slow_service.person_token(KARI)),
        "PlatformAccessToken": AltinnApp("ttd", app, CERTIFICATE).app_token(),
    }
    refusal = slow_service.client.post(APP_PATH, json=app_event(app), headers=headers)

    assert_problem(refusal, 429, "too-many-requests")
