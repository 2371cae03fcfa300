"""Requests that no route answers, and answers without a body: at the level of ASGI, below any HTTP server."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
from litestar import Litestar

from eventfeed.app.application import create_application
from eventfeed.app.store import Store
from eventfeed.http.operations.gateway import GatewayCheck
from eventfeed.http.problems import Problems
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.request import HEADER_LENGTH_MAX, URL_LENGTH_MAX
from eventfeed.settings import load
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.asgi import HOST, AsgiRequest, AsgiResponse, HeaderLines, send_request

BODY = (b"[", b"x" * 100_000, b"]")
JSON_HEADERS = (HOST, (b"content-type", b"application/json"))


@pytest.fixture
async def application(tmp_path: Path) -> AsyncIterator[Litestar]:
    """The application on an empty store."""
    settings = load({"EVENTFEED_STORE": f"sqlite:///{tmp_path}/log.db"})
    await Store(settings, Telemetry()).create()
    application = create_application(settings, Telemetry())
    async with application.lifespan():
        yield application


def problem_of(response: AsgiResponse) -> tuple[int, str]:
    """The status and the code of a problem, whose media type is that of problems."""
    assert response.headers["content-type"] == "application/problem+json"
    return response.status, msgspec.json.decode(response.body)["code"]


@pytest.mark.parametrize(
    ("method", "path", "problem"),
    [
        ("POST", b"/nowhere", (404, "not-found")),
        ("POST", b"/health/live", (405, "method-not-allowed")),
        ("PATCH", b"/events/api/v1/app", (405, "method-not-allowed")),
        ("POST", b"/events/api/v1/app", (401, "unauthenticated")),
        ("POST", b"/events/api/v1/events", (401, "unauthenticated")),
        ("POST", b"/events/api/v1/party", (401, "unauthenticated")),
        ("PUT", b"/events/api/v1/approvals/310000011", (401, "unauthenticated")),
        ("POST", b"/events/instanceeventsforinstance/x", (404, "not-found")),
        ("POST", b"/events/api/v1/party%2F", (404, "not-found")),
    ],
)
async def test_refusal_comes_after_the_body_has_been_read(
    application: Litestar, method: str, path: bytes, problem: tuple[int, str]
) -> None:
    """A client that is still sending would lose the response with its connection (RFC 9112 §9.6)."""
    response = await send_request(application, AsgiRequest(method, path, headers=JSON_HEADERS, parts=BODY))

    assert (problem, []) == (problem_of(response), response.unread)


async def test_refusal_at_the_gateway_comes_after_the_body_has_been_read(application: Litestar) -> None:
    """The check before the application follows the same rule, and sends no body to HEAD."""
    problems = Problems(PublicUrl(public_url="https://events.example.no", own_url=""), Telemetry())
    guarded = GatewayCheck(application, valid_secrets=["secret"], problems=problems)
    response = await send_request(guarded, AsgiRequest("POST", b"/events/api/v1/app", parts=BODY))
    head = await send_request(guarded, AsgiRequest("HEAD", b"/events/api/v1/head"))

    assert ((403, "not-through-the-gateway"), []) == (problem_of(response), response.unread)
    assert (403, b"") == (head.status, head.body)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/nowhere", 404),
        (b"/health/live", 200),
        (b"/schema", 200),
        (b"/problems/not-found", 200),
        (b"/problems/nothing", 404),
        (b"/events/api/v1/party", 405),
        (b"/events/api/v1/head", 401),
        (b"/events/api/v1/app/ttd/x", 401),
        (b"/events/api/v1/approvals/x", 401),
        (b"/authentication/api/v1/exchange/x", 401),
        (b"/authentication/api/v1/openid/jwks", 200),
        (b"/development/maskinporten/jwks", 200),
        (b"/development/maskinporten/token", 405),
    ],
)
async def test_head_has_the_headers_of_get_and_no_body(application: Litestar, path: bytes, status: int) -> None:
    """Outside of routes too, and before the HTTP server removes it (RFC 9110 §9.3.2)."""
    head, get = [await send_request(application, AsgiRequest(method, path)) for method in ("HEAD", "GET")]

    assert (status, b"", status) == (head.status, head.body, get.status)
    assert head.headers.keys() == get.headers.keys()
    assert head.headers["content-length"] == str(len(get.body)) or status == 405


@pytest.mark.parametrize("path", [b"/nowhere", b"/health/live", b"/events/api/v1/party"])
@pytest.mark.parametrize("lines", [(HOST, HOST), (), ((b"host", b"a b"),)])
async def test_request_without_one_valid_host_is_refused_on_any_path(
    application: Litestar, path: bytes, lines: HeaderLines
) -> None:
    """RFC 9112 §3.2. The path is not looked at."""
    response = await send_request(application, AsgiRequest("GET", path, headers=lines))

    assert (400, "invalid-request") == problem_of(response)


INSTANCE = b"/events/instanceeventsforinstance/00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        (AsgiRequest("GET", b"/health/live", headers=((b"host", b'a"b'),)), {"parameter": "host"}),
        (AsgiRequest("GET", b"/nowhere", headers=((b"host", b"a b"),)), {"parameter": "host"}),
        (AsgiRequest("GET", b"/health/live", headers=()), {"parameter": "host"}),
        (AsgiRequest("GET", b"/health/live", headers=(HOST, HOST)), {"parameter": "host"}),
        (AsgiRequest("GET", b"/health/live", headers=(HOST, *[(b"person", b"0")] * 2)), {"parameter": "person"}),
        (AsgiRequest("POST", INSTANCE, b"after=%ZZ"), {"parameter": "after"}),
        (AsgiRequest("POST", INSTANCE, b"after=x"), {"parameter": "after"}),
        (AsgiRequest("POST", INSTANCE, b"after=99"), {"parameter": "after"}),
        (AsgiRequest("POST", INSTANCE, headers=(HOST, (b"content-encoding", b"gzip")), parts=(b"x",)), {"pointer": ""}),
        (AsgiRequest("POST", INSTANCE, parts=(b"[",)), {"pointer": ""}),
        (AsgiRequest("POST", b"/development/maskinporten/token", parts=(b"scope=%ZZ",)), {"pointer": ""}),
        (AsgiRequest("POST", b"/development/maskinporten/token", parts=(b"scope=a&scope=b",)), {"pointer": ""}),
    ],
)
async def test_every_400_names_its_fault(application: Litestar, request_: AsgiRequest, fault: dict[str, str]) -> None:
    """Those of the framework too. A fault has the name of a parameter or header, or points into the body."""
    response = await send_request(application, request_)
    (error,) = msgspec.json.decode(response.body)["errors"]

    assert 400 == problem_of(response)[0]
    assert (fault, True) == ({name: text for name, text in error.items() if name != "detail"}, bool(error["detail"]))


@pytest.mark.parametrize("path", [b"/nowhere", b"/health/live"])
@pytest.mark.parametrize(
    ("query", "headers", "problem"),
    [
        (b"a" * URL_LENGTH_MAX, (), (414, "url-too-long")),
        (b"", ((b"accept", b"x" * (HEADER_LENGTH_MAX + 1)),), (431, "header-too-large")),
        (b"", ((b"content-type", b"x" * (HEADER_LENGTH_MAX + 1)),), (431, "header-too-large")),
    ],
)
async def test_long_url_and_long_header_have_problems_of_their_own(
    application: Litestar, path: bytes, query: bytes, headers: HeaderLines, problem: tuple[int, str]
) -> None:
    """Below the limits of the HTTP server, whose answers have no body."""
    response = await send_request(application, AsgiRequest("GET", path, query=query, headers=(HOST, *headers)))

    assert problem == problem_of(response)


@pytest.mark.parametrize(
    "path",
    [
        b"/health%2Flive",
        b"/health%2flive",
        b"/health/live%2F",
        b"/health%5Clive",
        b"%2Fhealth/live",
        b"/events/api/v1/app/ttd%2Fx",
        b"/events/api/v1/app/ttd/x%2F",
        b"/events/api/v1/app/ttd/x%5c",
        b"/events/api/v1/app/ttd/%252F",
        b"/schema/assets%2Fswagger-ui.css",
        b"/problems%2Fnot-found",
        b"/./health/live",
        b"/health/../health/live",
        b"/health/%2e/live",
        b"/health/live;x",
        b"/health/live%00",
        b"/HEALTH/live",
    ],
)
async def test_path_with_encoded_separators_or_dot_segments_does_not_exist(application: Litestar, path: bytes) -> None:
    """A gateway may read them differently, so its rules would apply to another path (RFC 3986 §6.2.2)."""
    response = await send_request(application, AsgiRequest("GET", path))

    assert (404, 401)[path.startswith(b"/events/api/v1/app/ttd/%25")] == response.status


@pytest.mark.parametrize("charset", ["utf-16", '"latin-1"', "utf-8; charset=utf-16"])
@pytest.mark.parametrize("media_type", ["application/json; charset={}", "application/json;charset={}"])
async def test_json_in_another_charset_is_refused(application: Litestar, charset: str, media_type: str) -> None:
    """JSON is UTF-8 (RFC 8259 §8.1)."""
    headers = (HOST, (b"content-type", media_type.format(charset).encode()))
    path = b"/events/instanceeventsforinstance/00000000-0000-0000-0000-000000000000"
    response = await send_request(application, AsgiRequest("POST", path, headers=headers, parts=(b"{}",)))

    assert (415, "unsupported-media-type") == problem_of(response)


@pytest.mark.parametrize(
    "media_type", [b"", b";", b"=", b'application/json;x="', b"\xff", b"a/b;\x00=\xff", b"application/json;;;=;="]
)
async def test_any_content_type_is_accepted_or_refused(application: Litestar, media_type: bytes) -> None:
    """No parser of the framework sees the text of a header."""
    path = b"/events/instanceeventsforinstance/00000000-0000-0000-0000-000000000000"
    headers: Sequence[tuple[bytes, bytes]] = (HOST, (b"content-type", media_type))
    response = await send_request(application, AsgiRequest("POST", path, headers=headers, parts=(b"{}",)))

    assert response.status in (200, 415)
