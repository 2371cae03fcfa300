"""Responses of Locust's HTTP client: their page, and their verdict in Locust's statistics."""

import json
from collections.abc import Sequence
from typing import Any

from loadtests.verification import Page

# Locust's classes have no types.


def page_of(response: Any, request_time: float) -> Page:
    """Decode the page of a response."""
    headers = response.headers
    position, more = position_of(headers["feed-cursor"]), headers["feed-more"] == "true"
    return Page(json.loads(response.content), request_time=request_time, position=position, more=more)


def position_of(cursor: str) -> int:
    """The position of a cursor."""
    return int(cursor.split(".")[1])


def finish(response: Any, violations: Sequence[str]) -> None:
    """Mark the response as a success, or as a failure by the kind of its first violation."""
    if violations:
        response.failure(f"violation: {violations[0]}")
    else:
        response.success()


def fail(response: Any) -> None:
    """Mark the response as a failure by its status."""
    response.failure(f"{response.status_code}: {str(response.text or response.error)[:200]}")
