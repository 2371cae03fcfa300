"""HTTP as written: HEAD, OPTIONS, repeated headers, and a missing Host."""

import re
import uuid
from pathlib import Path

import httpx
import pytest

from eventfeed.http.request import HEADER_LENGTH_MAX
from tests.support.feeds import assert_problem, read_app_feed
from tests.support.raw_http import exchange, exchange_bytes
from tests.support.service import RunningService, bearer

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text()
FEED_HEADERS = {"link", "next", "feed-cursor", "feed-more", "etag", "cache-control", "vary", "content-type"}


def publish(service: RunningService, app: str) -> None:
    """Publish one event of an app."""
    source = f"https://ttd.apps.example.no/ttd/{app}/instances/50000001/{uuid.uuid4()}"
    event = {"specversion": "1.0", "source": source, "type": "a", "subject": "/party/50000001"}
    headers = bearer(service.token("altinn:events.publish"))
    service.client.post("/events/api/v1/app", json=event, headers=headers).raise_for_status()


def reader_headers(service: RunningService) -> dict[str, str]:
    """The headers of a reader of all apps of ttd."""
    return dict(bearer(service.token("altinn:events/ttd")))


def test_head_of_a_feed_has_the_headers_of_its_page(service: RunningService, app: str) -> None:
    """There is no body (RFC 9110 §9.3.2)."""
    publish(service, app)
    path, headers = f"/events/api/v1/app/ttd/{app}?after=0", reader_headers(service)
    page, head = service.client.get(path, headers=headers), service.client.head(path, headers=headers)

    assert (200, b"") == (head.status_code, head.content)
    assert {name: page.headers[name] for name in FEED_HEADERS} == {name: head.headers[name] for name in FEED_HEADERS}


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/schema", "/schema/openapi.json"])
def test_head_is_available_wherever_get_is(service: RunningService, path: str) -> None:
    """Health checks and link checkers use it."""
    response = service.client.head(path)

    assert (200, b"") == (response.status_code, response.content)


def test_head_of_a_stream_ends_at_once(service: RunningService, app: str) -> None:
    """It has the headers of the stream."""
    headers = {**reader_headers(service), "Accept": "text/event-stream"}
    response = service.client.head(f"/events/api/v1/app/ttd/{app}?after=0", headers=headers)

    assert (200, b"") == (response.status_code, response.content)
    assert response.headers["content-type"].startswith("text/event-stream")


def test_head_without_a_token_is_refused_like_get(service: RunningService, app: str) -> None:
    """A refusal has no body either."""
    response = service.client.head(f"/events/api/v1/app/ttd/{app}?after=0")

    assert (401, b"") == (response.status_code, response.content)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/events/api/v1/app/ttd/a", {"GET", "HEAD", "OPTIONS"}),
        ("/events/api/v1/app", {"POST", "OPTIONS"}),
        ("/events/api/v1/events", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("/events/api/v1/approvals/974761076", {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}),
        ("/events/api/v1/party", {"POST", "OPTIONS"}),
        ("/health/live", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_options_and_405_name_the_same_methods(service: RunningService, path: str, methods: set[str]) -> None:
    """`Allow` has every method of the path (RFC 9110 §10.2.1), in the same text."""
    options, refusal = service.client.options(path), service.client.request("PATCH", path)

    assert (204, 405) == (options.status_code, refusal.status_code)
    assert ", ".join(sorted(methods)) == options.headers["allow"] == refusal.headers["allow"]


@pytest.mark.parametrize("name", ["Authorization", "Person", "Last-Event-ID", "Content-Type"])
def test_repeated_single_header_is_refused(service: RunningService, app: str, name: str) -> None:
    """Two values could mean two things to two programs (RFC 9110 §5.3). The value is not repeated in the error."""
    lines = [*reader_headers(service).items(), (name, "0"), (name, "1")]
    response = service.client.get(f"/events/api/v1/app/ttd/{app}?after=0", headers=lines)

    assert_problem(response, 400, "invalid-request")
    assert name.lower() in response.json()["detail"]


def test_lists_in_two_lines_are_one_list(service: RunningService, app: str) -> None:
    """A page is unchanged if any line of `If-None-Match` has its tag, and `Accept` may be split too."""
    publish(service, app)
    path, headers = f"/events/api/v1/app/ttd/{app}?after=0", reader_headers(service)
    tag = service.client.get(path, headers=headers).headers["etag"]
    lines = [*headers.items(), ("If-None-Match", '"other"'), ("If-None-Match", tag)]
    accept = [*headers.items(), ("Accept", "text/html"), ("Accept", "application/json")]

    assert 304 == service.client.get(path, headers=lines).status_code
    assert "application/json" == service.client.get(path, headers=accept).headers["content-type"]


def test_two_traceparents_are_no_trace(service: RunningService) -> None:
    """The service starts a trace of its own (W3C Trace Context §3.2)."""
    traces = ["0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c"]
    lines = [("traceparent", f"00-{trace}-b7ad6b7169203331-01") for trace in traces]
    problem = service.client.get("/nowhere", headers=lines).json()

    assert problem["traceId"] not in traces


def test_request_without_one_host_is_refused(service: RunningService) -> None:
    """HTTP/1.1 requires exactly one (RFC 9112 §3.2); HTTP/1.0 does not."""
    two_hosts = b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n"

    assert b" 400 " in exchange_bytes(service.url, two_hosts)
    assert b" 400 " in exchange_bytes(service.url, b"GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b" 200 " in exchange_bytes(service.url, b"GET /health/live HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize("host", ['a"b', "a b", "a/b", "a<b>"])
def test_invalid_host_is_named(service: RunningService, host: str) -> None:
    """The framework refuses it before any route."""
    response = exchange(service.url, "GET", "/health/live", {"Host": host})

    assert response.startswith("HTTP/1.1 400 ")
    assert '"parameter":"host"' in response


@pytest.mark.parametrize("weight", ["inf", "nan", "1e999", "-1", "x", "\xe9"])
def test_invalid_weight_in_accept_is_ignored(service: RunningService, app: str, weight: str) -> None:
    """The instance feed needs no token, so anyone can send it."""
    accept = httpx.Headers([(b"Accept", f"application/json;q={weight}".encode("latin-1"))])
    anonymous = service.client.post(f"/events/instanceeventsforinstance/{uuid.uuid4()}", headers=accept)

    assert 200 == anonymous.status_code
    assert 200 == read_app_feed(service, app, "after=0", Accept="application/json;q=inf").status_code


def test_header_over_its_length_is_refused(service: RunningService) -> None:
    """Caches by a header stay small (`HEADER_LENGTH_MAX`)."""
    response = service.client.get("/health/live", headers={"Accept": "x" * (HEADER_LENGTH_MAX + 1)})

    assert_problem(response, 431, "header-too-large")


@pytest.mark.parametrize(
    "spelling",
    [
        "/events/api/v1/app/ttd/{}",
        "//events/api/v1//app/ttd/{}",
        "/events/api/v1/app/%74td/{}",
        "/events/api/v1/app/ttd/{}//",
    ],
)
def test_link_of_any_spelling_of_a_path_has_the_canonical_path(
    service: RunningService, app: str, spelling: str
) -> None:
    """It does not repeat empty segments and needless escapes. A slash at the end stays, as `POST …/party/` has one."""
    head = exchange(service.url, "GET", f"{spelling.format(app)}?after=0", reader_headers(service))
    (link,) = re.findall(r"next: (\S+)", head)

    slash = "/" if spelling.endswith("/") else ""
    assert link.startswith(f"{service.url}/events/api/v1/app/ttd/{app}{slash}?after=")


@pytest.mark.parametrize(
    "path", ["/events/api/v1/app/ttd%2F{}", "/events/api/v1/app/ttd%5c{}", "/events%2Fapi/v1/app/ttd/{}"]
)
def test_path_with_an_encoded_separator_does_not_exist(service: RunningService, app: str, path: str) -> None:
    """`ttd%2Fx` is one segment, and no app has such a name."""
    response = exchange(service.url, "GET", f"{path.format(app)}?after=0", reader_headers(service))

    assert response.startswith("HTTP/1.1 404 ")
    assert "application/problem+json" in response


@pytest.mark.parametrize(
    ("target", "lines", "status", "words"),
    [
        ("/health/live", {f"x-{number}": "y" for number in range(300)}, 431, "more than 100 header lines"),
        (f"/health/live?{'a' * 100_000}", {}, 414, "over 65,534 bytes"),
        (f"/health/live?{'a' * 17_000}", {}, 414, "`url-too-long`"),
    ],
)
def test_answers_of_the_http_server_itself_are_described_in_the_reference(
    service: RunningService, target: str, lines: dict[str, str], status: int, words: str
) -> None:
    """Beyond its limits the server answers before the service, without a body."""
    response = exchange(service.url, "GET", target, lines)

    assert response.startswith(f"HTTP/1.1 {status} ")
    assert words in REFERENCE
    assert ("problem+json" in response) == words.startswith("`")


def test_client_that_closes_its_side_early_is_described_in_the_reference(service: RunningService, app: str) -> None:
    """RFC 9112 §9.6 asks for the response. The HTTP server closes the connection; the reference says so.

    A long poll has no response yet when the server reads the end.
    """
    lines = {**reader_headers(service), "Prefer": "wait=2"}
    response = exchange(service.url, "GET", f"/events/api/v1/app/ttd/{app}?after=0", lines, half_close=True)

    assert ("" == response) == ("`shutdown(SHUT_WR)`" in REFERENCE)


def test_refusal_of_a_header_reads_the_body_first(service: RunningService) -> None:
    """A client that is still sending gets the response."""
    lines = [("Authorization", "Bearer a"), ("Authorization", "Bearer b"), ("Content-Type", "application/json")]
    response = service.client.post("/events/api/v1/app", headers=lines, content=b"x" * 1_500_000)

    assert_problem(response, 400, "invalid-request")
