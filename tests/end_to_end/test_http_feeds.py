"""HTTP Feeds (http-feeds.org): the protocol as its specification describes it, against a running service."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.feeds import assert_problem, event_ids, read_app_feed
from tests.support.publishing import APP_PATH, BATCH_MEDIA_TYPE, app_event, post_events
from tests.support.service import RunningService, bearer, running_service

GET_FEEDS = [
    "/events/api/v1/app/ttd/{app}",
    "/events/api/v1/app/party",
    "/events/api/v1/reportees?eventType=estate.created",
    "/events/api/v1/events?resource=urn:altinn:resource:app_ttd_{app}",
    "/events/api/v1/http-feeds/ttd/{app}",
]
# Longer than any test waits: a response in less time did not come at the end of the timeout.
LONG_TIMEOUT, EARLY_SECONDS_MAX = "55000", 50.0


class Feed:
    """The HTTP feed of an app of `ttd`, and a token for it."""

    def __init__(self, service: RunningService, app: str) -> None:
        self._client, self.path = service.client, f"/events/api/v1/http-feeds/ttd/{app}"
        self._headers = bearer(service.token(f"altinn:events/ttd/{app}"))

    def get(self, **parameters: str) -> httpx.Response:
        """Request a batch with these parameters."""
        return self._client.get(self.path, params=parameters, headers=self._headers)

    def poll(self) -> Iterator[str]:
        """Yield the id of each event up to the end of the feed, as the client of the specification polls."""
        last_event_id = "null"
        while True:
            response = self.get(lastEventId=last_event_id, timeout="1")
            assert (200, BATCH_MEDIA_TYPE) == (response.status_code, response.headers["content-type"])
            for event in response.json():
                yield event["id"]
                last_event_id = event["id"]
            if not response.json():
                return


@pytest.fixture
def feed(service: RunningService, app: str) -> Feed:
    """The HTTP feed of the test's app."""
    return Feed(service, app)


def publish(service: RunningService, app: str, *ids: str) -> None:
    """Publish events with these ids."""
    post_events(service, APP_PATH, [app_event(app, id=each) for each in ids]).raise_for_status()


def test_client_of_the_specification_reads_every_event_once(service: RunningService, app: str, feed: Feed) -> None:
    """It starts without an id, continues from the id of the last event, and stops at an empty array."""
    ids = [str(uuid.uuid4()) for _ in range(120)]
    publish(service, app, *ids[:100])
    publish(service, app, *ids[100:])

    assert ids == list(feed.poll())
    assert ids[:50] == event_ids(feed.get())


@pytest.mark.parametrize("id_", ["7", "18446744073709551616", "a b", "æ&=#%", "null-", "../x", "zzzzzzzzzzzz", "1.5"])
def test_event_id_of_any_form_is_a_position(service: RunningService, app: str, feed: Feed, id_: str) -> None:
    """A publisher may number its events: digits are no sequence here."""
    publish(service, app, "first", id_, "last")

    assert ["last"] == event_ids(feed.get(lastEventId=id_))


def test_timeout_waits_for_an_event(service: RunningService, app: str, feed: Feed) -> None:
    """The response comes with the event; without one it comes with an empty array after the timeout."""
    publish(service, app, "first")
    started = time.monotonic()
    empty = feed.get(lastEventId="first", timeout="300")
    waited = time.monotonic() - started
    publish(service, app, "second")

    assert (200, [], "wait=1") == (empty.status_code, empty.json(), empty.headers["preference-applied"])
    assert waited >= 0.3
    assert ["second"] == event_ids(feed.get(lastEventId="first", timeout=LONG_TIMEOUT))


@pytest.mark.parametrize("timeout", ["0", "1"])
def test_short_timeout_returns_the_empty_array(service: RunningService, app: str, feed: Feed, timeout: str) -> None:
    """0 does not wait at all."""
    publish(service, app, "first")
    started = time.monotonic()
    response = feed.get(lastEventId="first", timeout=timeout)

    assert [] == event_ids(response)
    assert EARLY_SECONDS_MAX > time.monotonic() - started


@pytest.mark.parametrize("path", GET_FEEDS)
def test_every_get_feed_takes_the_names_of_http_feeds(service: RunningService, app: str, path: str) -> None:
    """The values of `lastEventId` are checked as those of `after`, and both names together are refused."""
    scopes = f"altinn:events/ttd/{app} altinn:events.subscribe altinn:events/reportees altinn:events.admin"
    token = bearer(service.token(scopes, organisation="310000033"))
    separator = "&" if "?" in path else "?"
    url = f"{path.format(app=app)}{separator}"
    page = service.client.get(f"{url}lastEventId=null&timeout=1", headers=token)
    both = service.client.get(f"{url}lastEventId=x&after=0&timeout=x", headers=token)
    unknown = service.client.get(f"{url}lastEventId=unknown", headers=token)
    faults = assert_problem(both, 400, "invalid-request")["errors"]

    assert 200 == page.raise_for_status().status_code
    assert "&timeout=1" in page.headers["next"]
    assert "lastEventId" not in page.headers["next"]
    assert {"after", "lastEventId", "timeout"} == {fault["parameter"] for fault in faults}  # type: ignore[attr-defined]  # a list
    assert "lastEventId" in str(assert_problem(unknown, 400, "invalid-cursor")["errors"])


def test_timeout_beside_a_preference_to_wait_is_refused(service: RunningService, app: str) -> None:
    """The problem names both. A preference of another kind is none to wait."""
    response = read_app_feed(service, app, "after=0&timeout=1", Prefer="wait=1")
    faults = assert_problem(response, 400, "invalid-request")["errors"]
    other = read_app_feed(service, app, "after=0&timeout=1", Prefer="respond-async")

    assert ["timeout", "prefer"] == [fault["parameter"] for fault in faults]  # type: ignore[attr-defined]  # a list
    assert 200 == other.status_code


def test_http_feed_needs_the_rights_of_the_app_feed(service: RunningService, app: str) -> None:
    """Scope, token and names of apps are checked alike."""
    path = f"/events/api/v1/http-feeds/ttd/{app}"
    problem = assert_problem(
        service.client.get(path, headers=bearer(service.token("altinn:events/skd"))), 403, "insufficient-scope"
    )

    assert f"altinn:events/ttd/{app}" == problem["scope"]
    assert_problem(service.client.get(path), 401, "unauthenticated")
    invalid_path = "/events/api/v1/http-feeds/ttd/a%20b"
    assert_problem(
        service.client.get(invalid_path, headers=bearer(service.token("altinn:events/ttd"))), 404, "not-found"
    )


def test_filters_and_next_work_on_the_http_feed(service: RunningService, app: str, feed: Feed) -> None:
    """`next` leads along the same path, from a cursor."""
    events = [app_event(app, id=str(number), type="a" if number % 2 else "b") for number in range(1, 7)]
    post_events(service, APP_PATH, events).raise_for_status()
    first = feed.get(eventType="a", size="2", lastEventId="1")
    second = service.client.get(first.headers["next"], headers=dict(first.request.headers))

    assert (["3", "5"], []) == (event_ids(first), event_ids(second))
    assert f"{feed.path}?after={first.headers['feed-cursor']}&" in first.headers["next"]
    assert 200 == service.client.head(feed.path, headers=first.request.headers).status_code


def test_timeout_without_a_free_slot_gets_503(tmp_path: Path) -> None:
    """It has no pause of its own: an empty array would make it ask again immediately."""
    with running_service(tmp_path, EVENTFEED_CALLER_WAITS="0") as service:
        post_events(service, APP_PATH, app_event("bolig")).raise_for_status()
        feed = Feed(service, "bolig")
        page = feed.get(timeout=LONG_TIMEOUT)
        busy = feed.get(lastEventId=event_ids(page)[-1], timeout=LONG_TIMEOUT)

        assert 1 == len(event_ids(page))
        assert_problem(busy, 503, "unavailable")
        assert int(busy.headers["retry-after"]) > 0
