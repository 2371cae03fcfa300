"""Long polls: the response comes with the first event, or at the end of the wait."""

import select
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.support.publishing import APP_PATH, app_event, post_events
from tests.support.service import REQUEST_SECONDS_MAX, STOP_SECONDS_MAX, RunningService, bearer, running_service

WAIT_SECONDS = 55
LONG = f"wait={WAIT_SECONDS}"
# A response that comes sooner did not come at the end of the wait.
EARLY_SECONDS_MAX = 50.0


class Poll:
    """A request for a page of an app's feed, on a connection of its own. Its response may still be to come."""

    def __init__(self, service: RunningService, app: str, *, after: str, **headers: str) -> None:
        token = bearer(service.token("altinn:events/ttd"))
        self._connection = HTTPConnection(urlsplit(service.url).netloc, timeout=REQUEST_SECONDS_MAX)
        self._connection.request("GET", "/health/live")
        self._connection.getresponse().read()
        path = f"/events/api/v1/app/ttd/{app}?after={after}"
        self._connection.request("GET", path, headers={**token, **headers})
        # The response to a later request: the service has read this one.
        service.client.get("/health/live").raise_for_status()

    def is_waiting(self, *, seconds: float = 0.3) -> bool:
        """True if there is no response within this time."""
        readable, _, _ = select.select([self._connection.sock], [], [], seconds)
        return not readable

    def response(self) -> httpx.Response:
        """Wait for the response."""
        response = self._connection.getresponse()
        body = response.read()
        self._connection.close()
        return httpx.Response(response.status, headers=response.getheaders(), content=body)


def newest_cursor(service: RunningService) -> str:
    """The cursor at the end of the log."""
    response = service.client.get("/events/api/v1/head", headers=bearer(service.token("altinn:events/ttd")))
    return str(response.raise_for_status().json()["cursor"])


def test_publish_ends_a_long_poll_with_the_event(service: RunningService, app: str) -> None:
    """The response has the event and all page headers."""
    poll = Poll(service, app, after=newest_cursor(service), Prefer=LONG)
    assert poll.is_waiting()
    (receipt,) = post_events(service, APP_PATH, [app_event(app)]).json()
    response = poll.response()

    assert (200, LONG) == (response.status_code, response.headers["preference-applied"])
    assert [receipt["sequence"]] == [event["sequence"] for event in response.json()]
    assert str(int(receipt["sequence"])) == response.headers["feed-cursor"].split(".")[1]


def test_long_poll_with_events_returns_at_once(service: RunningService, app: str) -> None:
    """A poll does not wait for a second event."""
    post_events(service, APP_PATH, [app_event(app)])
    start = time.monotonic()
    response = Poll(service, app, after="0", Prefer=LONG).response()

    assert 1 == len(response.json())
    assert time.monotonic() - start < EARLY_SECONDS_MAX


def test_long_poll_without_events_returns_a_new_cursor(service: RunningService, app: str) -> None:
    """At the end of the wait, the cursor has passed the events of other feeds."""
    cursor = newest_cursor(service)
    poll = Poll(service, app, after=cursor, Prefer="wait=1")
    post_events(service, APP_PATH, [app_event(f"{app}-other")])
    response = poll.response()

    assert (200, []) == (response.status_code, response.json())
    assert int(response.headers["feed-cursor"].split(".")[1]) > int(cursor.split(".")[1])


def test_long_poll_with_etag_waits_for_a_new_page(tmp_path: Path) -> None:
    """Without a new event, the response is 304 at the end of the wait; with one, it is 200."""
    with running_service(tmp_path) as service:
        post_events(service, APP_PATH, [app_event("bolig")])
        condition = {"If-None-Match": Poll(service, "bolig", after="0").response().headers["etag"]}
        unchanged_page = Poll(service, "bolig", after="0", Prefer="wait=1", **condition).response()
        poll = Poll(service, "bolig", after="0", Prefer=LONG, **condition)
        assert poll.is_waiting()
        post_events(service, APP_PATH, [app_event("bolig")])
        changed_page = poll.response()

    assert (304, "wait=1") == (unchanged_page.status_code, unchanged_page.headers["preference-applied"])
    assert (200, 2) == (changed_page.status_code, len(changed_page.json()))


def test_poll_over_the_limit_of_waits_returns_at_once(tmp_path: Path) -> None:
    """The response has no `Preference-Applied`."""
    with running_service(tmp_path, EVENTFEED_WAITS="0") as service:
        response = Poll(service, "bolig", after="0", Prefer=LONG).response()

    assert (200, []) == (response.status_code, response.json())
    assert "preference-applied" not in response.headers


def test_publish_at_one_worker_ends_long_polls_at_the_other(tmp_path: Path) -> None:
    """Some of sixteen polls wait at each of two workers, and one publish ends all of them."""
    with running_service(tmp_path, EVENTFEED_WORKERS="2") as service:
        after = newest_cursor(service)
        polls = [Poll(service, "bolig", after=after, Prefer=LONG) for _ in range(16)]
        were_waiting = all(poll.is_waiting(seconds=0.1) for poll in polls)
        receipt = post_events(service, APP_PATH, app_event("bolig")).json()
        responses = [poll.response() for poll in polls]

    assert were_waiting
    assert [[receipt["sequence"]]] * 16 == [[event["sequence"] for event in response.json()] for response in responses]


def test_stop_ends_long_polls_with_a_response(tmp_path: Path) -> None:
    """The polls get a page, and the process exits with 0."""
    with running_service(tmp_path) as service:
        poll = Poll(service, "bolig", after=newest_cursor(service), Prefer=LONG)
        assert poll.is_waiting()
        start = time.monotonic()
        service.process.terminate()
        exit_code = service.process.wait(timeout=STOP_SECONDS_MAX)
        status_code = poll.response().status_code

    assert (0, 200) == (exit_code, status_code)
    assert time.monotonic() - start < EARLY_SECONDS_MAX
