"""The page with traces and charts, in a real browser."""

import re
import uuid
from pathlib import Path

import httpx
import pytest

from tests.support.browser import controlled_window, rendered_document
from tests.support.feeds import read_app_feed
from tests.support.publishing import APP_PATH, app_event, post_events
from tests.support.service import running_service, start, stop
from tests.support.waiting import wait_until


def page_url(folder: Path) -> str:
    """Return the URL of the page, from the output of the service."""
    match = wait_until(lambda: re.search(r"traces and charts: (http\S+)", (folder / "output").read_text()))
    assert match is not None
    return match[1]


def is_running(url: str) -> bool:
    """True if the page responds. Spans that are exported before are lost."""
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def has_data(url: str, trace: str) -> bool:
    """True if the page has this trace with its readers, and lines in a chart."""
    data = httpx.get(f"{url}/data").json()
    readers = {each["id"]: each["readers"] for each in data["traces"]}
    return bool(readers.get(trace)) and any(chart["lines"] for chart in data["charts"])


def test_page_shows_the_trace_of_an_event_and_charts(tmp_path: Path) -> None:
    """The trace has its spans and the traces of its readers. The page stops with the service."""
    with running_service(tmp_path / "service", "--observe") as service:
        url, trace = page_url(service.folder), uuid.uuid4().hex
        wait_until(lambda: is_running(url))
        traceparent = f"00-{trace}-{uuid.uuid4().hex[:16]}-01"
        post_events(service, APP_PATH, app_event("bolig"), traceparent=traceparent).raise_for_status()
        read_app_feed(service, "bolig", "after=0").raise_for_status()
        wait_until(lambda: has_data(url, trace))
        document = rendered_document(url, profile=tmp_path / "profile")
    with pytest.raises(httpx.TransportError):
        httpx.get(url)

    assert f"Trace {trace}" in document
    assert "POST /events/api/v1/app" in document
    assert ">append<" in document
    assert "read in " in document
    assert "Requests a second, by route" in document
    assert document.count("<canvas") > 5


def test_page_is_readable_in_the_dark_and_needs_no_mouse(tmp_path: Path) -> None:
    """A trace is selected with the keyboard. Texts have enough contrast, and a single sample is drawn."""
    with (
        running_service(tmp_path / "service", "--observe") as service,
        controlled_window(profile=tmp_path / "profile") as window,
    ):
        url = page_url(service.folder)
        wait_until(lambda: is_running(url))
        for _ in range(2):
            post_events(service, APP_PATH, app_event("bolig")).raise_for_status()
        window.emulate_dark_mode()
        window.load(url, until="document.querySelectorAll('#traces button').length > 1 && charts.size > 0")
        window.evaluate("[...document.querySelectorAll('#traces button')].find(e => e.ariaPressed === 'false').focus()")
        selected = window.evaluate("document.activeElement.id.replace('trace-', '')")
        window.press("Enter")
        window.wait_until(f"document.getElementById('open').innerText.includes({selected!r})")
        faults = window.contrast_faults()
        radii = window.evaluate("[1, 2].map(count => radius({dataset: {data: [null, ...Array(count).fill(5), null]}}))")
        colour = window.evaluate("Chart.defaults.color")

    assert [] == faults
    assert [3, 0] == radii
    assert "#ddd" == colour


def test_option_observe_with_another_endpoint_is_rejected(tmp_path: Path) -> None:
    """The service exports to one endpoint only."""
    with pytest.raises(AssertionError, match="OTEL_EXPORTER_OTLP_ENDPOINT is set"):
        stop(start(tmp_path, "--observe", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1"))
