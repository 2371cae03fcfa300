"""The OpenAPI document matches the routes and their responses."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from litestar import Litestar
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from eventfeed.app.application import create_application
from eventfeed.http.operations.openapi import document
from eventfeed.http.problems import KINDS
from eventfeed.settings import load
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.service import RunningService, bearer

AnyCase = schemathesis.Case[Any]  # the library names no narrower kind of operation here
SCOPES = "altinn:events.publish altinn:events/ttd altinn:events/reportees altinn:events.subscribe altinn:events.admin"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
COMMITTED_DOCUMENT = Path(__file__).parents[2] / "infra" / "gateway" / "openapi.json"
# The page of the document and its files are not part of the interface.
OUTSIDE_PATHS = {"/", "/schema", "/schema/page.js", "/schema/assets/{name:str}"}


@pytest.fixture
def app(tmp_path: object) -> Litestar:
    """The application, not started."""
    return create_application(load({"EVENTFEED_STORE": f"sqlite:///{tmp_path}/log.db"}), Telemetry())


def test_document_lists_exactly_the_routes(app: Litestar) -> None:
    """Paths and methods are those of the application, except for the development routes."""
    routes = {
        (route.path_format, method.lower())
        for route in app.routes
        for method in getattr(route, "methods", ["GET"])
        if method not in ("OPTIONS", "HEAD")
        and not route.path.startswith("/development")
        and route.path not in OUTSIDE_PATHS
    }
    paths = msgspec.convert(document()["paths"], dict[str, dict[str, object]])

    assert {(path, method) for path, methods in paths.items() for method in methods} == routes


def test_document_names_every_problem_code() -> None:
    """Each code is in the description of some response."""
    text = msgspec.json.encode(document()).decode()
    missing = {code for code in KINDS if f"`{code}`" not in text}

    # Any path can have the first three. The others are no part of the interface.
    for_any_path = {"method-not-allowed", "url-too-long", "header-too-large"}
    assert {*for_any_path, "not-through-the-gateway", "internal"} == missing


def test_gateway_imports_the_document_of_the_service(service: RunningService) -> None:
    """The committed document equals the one that the service returns, apart from the server's URL."""
    document_of_service = service.client.get("/schema/openapi.json").raise_for_status().json()

    assert [{"url": service.url}] == document_of_service.pop("servers")
    assert json.loads(COMMITTED_DOCUMENT.read_text()) == document_of_service


schema = schemathesis.openapi.from_dict(dict(document()))


@schema.parametrize()
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_response_conforms_to_the_document(case: AnyCase, service: RunningService) -> None:
    """Random requests get no 5xx, no undocumented status, and valid problems only."""
    headers = bearer(service.token(SCOPES))
    if case.headers:
        case.headers.pop("Prefer", None)  # the service might wait
    if case.query:
        case.query.pop("timeout", None)
    case.call_and_validate(base_url=service.url, headers=headers, checks=CHECKS)
