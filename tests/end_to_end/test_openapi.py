"""The OpenAPI document tells the truth: about the routes there are, and about what they answer."""

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

from eventfeed.app.application import application
from eventfeed.http.operations.openapi import document
from eventfeed.http.problems import KINDS
from eventfeed.settings import load
from tests.support.service import Served, bearer

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
GIVEN = Path(__file__).parents[2] / "infra" / "gateway" / "openapi.json"
# Described in words or files of their own: not part of the interface that the document describes.
UNDESCRIBED = {"/schema", "/schema/page.js", "/schema/assets/{name:str}"}


@pytest.fixture
def app(tmp_path: object) -> Litestar:
    """The application, not started."""
    return application(load({"EVENTFEED_STORE": f"sqlite:///{tmp_path}/log.db"}))


def test_the_document_has_every_route_and_no_other(app: Litestar) -> None:
    """Paths and methods of the document are those of the application; development routes are not described."""
    served = {
        (route.path_format, method.lower())
        for route in app.routes
        for method in getattr(route, "methods", ["GET"])
        if method not in ("OPTIONS", "HEAD")
        and not route.path.startswith("/development")
        and route.path not in UNDESCRIBED
    }
    paths = msgspec.convert(document()["paths"], dict[str, dict[str, object]])

    assert {(path, method) for path, methods in paths.items() for method in methods} == served


def test_every_problem_that_can_come_is_named_in_the_document() -> None:
    """Each code stands in some response's description."""
    described = msgspec.json.encode(document()).decode()
    missing = {code for code in KINDS if f"`{code}`" not in described}

    # Told by the framework for any path, or to those who do not use the interface at all; defects are not promised.
    assert {"method-not-allowed", "not-through-the-gateway", "internal"} == missing


def test_the_gateway_is_given_the_document_that_is_served(served: Served) -> None:
    """What is committed for it to import, by `make documents`, is what the service says of itself, but where it is."""
    told = served.client.get("/schema/openapi.json").raise_for_status().json()

    assert [{"url": served.url}] == told.pop("servers")
    assert json.loads(GIVEN.read_text()) == told


schema = schemathesis.openapi.from_dict(dict(document()))


@schema.parametrize()
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_answers_otherwise_than_documented(case: AnyCase, served: Served) -> None:
    """Whatever is sent: no 5xx, no undocumented status, every error a valid problem."""
    headers = bearer(served.token(SCOPES))
    if case.headers:
        case.headers.pop("Prefer", None)  # it may have understood to wait
    case.call_and_validate(base_url=served.url, headers=headers, checks=CHECKS)
