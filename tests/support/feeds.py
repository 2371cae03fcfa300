"""Read feeds and check responses: pages of an app's feed, ids of events, problems, and entries of the audit log."""

import json

import httpx

from tests.support.service import RunningService, bearer

PARTY_PATH = "/events/api/v1/party"
APPROVALS_PATH = "/events/api/v1/approvals"
ADMIN_SCOPE = "altinn:events.admin"


def read_app_feed(service: RunningService, app: str, query: str, **headers: str) -> httpx.Response:
    """Request a page of the feed of an app of `ttd`, with a token for that app."""
    all_headers = {**bearer(service.token(f"altinn:events/ttd/{app}")), **headers}
    return service.client.get(f"/events/api/v1/app/ttd/{app}?{query}", headers=all_headers)


def app_feed_events(service: RunningService, app: str) -> list[dict[str, object]]:
    """The first 1,000 events of the feed of an app of `ttd`."""
    events: list[dict[str, object]] = read_app_feed(service, app, "after=0&size=1000").raise_for_status().json()
    return events


def event_ids(response: httpx.Response) -> list[str]:
    """The ids of the events of a page."""
    return [event["id"] for event in response.raise_for_status().json()]


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, object]:
    """Assert that the response is a problem with this status and code, and return it."""
    media_type = response.headers["content-type"]
    assert (status, "application/problem+json") == (response.status_code, media_type), response.text
    problem: dict[str, object] = response.json()
    assert (status, code) == (problem["status"], problem["code"])
    return problem


def audit_entries(service: RunningService, *arguments: str) -> list[dict[str, object]]:
    """The entries of the audit log, as `eventfeed audit` prints them."""
    output = service.run_command("audit", *arguments).stdout
    return [json.loads(line) for line in output.splitlines()]
