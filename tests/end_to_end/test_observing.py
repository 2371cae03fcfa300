"""The page beside a service, in a real browser: a waterfall and charts of what was just done."""

import re
import time
import uuid
from pathlib import Path

import httpx
import pytest

from tests.support.browser import rendered_document
from tests.support.feeds import read_app_feed
from tests.support.publishing import APP_PATH, app_event, post_events
from tests.support.service import running_service, start, stop

SECONDS_MAX = 20.0


def page_of(folder: Path) -> str:
    """Where the page is, as the greeting tells."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        if found := re.search(r"traces and charts: (http\S+)", (folder / "output").read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError("no page was announced")


@pytest.mark.timeout(600)
def test_what_was_just_done_can_be_looked_at(tmp_path: Path) -> None:
    """An event's trace with its spans and where it was read, and charts; it ends with the service."""
    with running_service(tmp_path / "service", "--observe") as service:
        page, trace = page_of(service.folder), uuid.uuid4().hex
        post_events(
            service, APP_PATH, app_event("bolig"), traceparent=f"00-{trace}-{uuid.uuid4().hex[:16]}-01"
        ).raise_for_status()
        read_app_feed(service, "bolig", "after=0").raise_for_status()
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            told = httpx.get(f"{page}/data").json()
            followed = {each["id"]: each["followed"] for each in told["traces"]}
            if followed.get(trace) and any(chart["lines"] for chart in told["charts"]):
                break
            time.sleep(0.1)
        document = rendered_document(page, profile=tmp_path / "profile")
    with pytest.raises(httpx.TransportError):
        httpx.get(page)

    assert f"Trace {trace}" in document
    assert "POST /events/api/v1/app" in document
    assert ">append<" in document
    assert "read in " in document
    assert "Requests a second, by route" in document
    assert document.count("<canvas") > 5


def test_it_observes_here_or_sends_elsewhere(tmp_path: Path) -> None:
    """Not both."""
    with pytest.raises(AssertionError, match="OTEL_EXPORTER_OTLP_ENDPOINT is set"):
        stop(start(tmp_path, "--observe", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1"))
