"""Requests of the replaced platform's test scripts and public clients, each answered as its sender expects.

`tests/fixtures/altinn/requests.toml` describes the requests.
"""

import json
import tomllib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.support.altinn_app import AltinnApp, Certificate
from tests.support.service import BAKERY, KARI, OTHER_BANK, TTD, RunningService, bearer, running_service

FILE = Path(__file__).parents[1] / "fixtures" / "altinn" / "requests.toml"
DOCS = Path(__file__).parents[2] / "docs" / "coming-from-altinn-events.md"
ORGANISATIONS = {"ttd": TTD, "bakery": BAKERY, "vendor": OTHER_BANK}


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request and the expected response. The file describes the members."""

    name: str
    origin: str
    client: str
    method: str
    path: str
    status: int
    scopes: str = ""
    app_token: str = ""
    headers: Mapping[str, str] = {}
    body: str = ""
    first: str = ""
    publishes: int = 1
    events: int = 0
    next: bool = False
    contains: Mapping[str, str] = {}
    differs: str = ""


REQUESTS = msgspec.convert(tomllib.loads(FILE.read_text())["request"], list[Request])
BY_NAME = {request.name: request for request in REQUESTS}


class AltinnClient:
    """Sends the requests of the file to a service, with the tokens that they ask for."""

    def __init__(self, service: RunningService, certificate: Certificate) -> None:
        self._service, self._certificate = service, certificate

    def send(self, request: Request, *, path: str | None = None, **texts: str) -> httpx.Response:
        """Send a request, to another `path` if it is not None; `texts` replace names in braces."""
        values = {**_texts(), **texts}
        headers = {**self._token_headers(request), **request.headers}
        if request.app_token:
            org, name = request.app_token.split("/")
            headers["PlatformAccessToken"] = AltinnApp(org, name, self._certificate).app_token()
        url = _replace(request.path, values) if path is None else path
        content = _replace(request.body, values).encode() or None
        return self._service.client.request(request.method, url, headers=headers, content=content)

    def publish_first(self, request: Request) -> str:
        """Publish the events that a request needs, and return the id of the first one; "" if it needs none."""
        if not request.first:
            return ""
        responses = [self.send(BY_NAME[request.first]) for _ in range(request.publishes)]
        receipt = responses[0].raise_for_status().json()
        return str(receipt["id"])

    def _token_headers(self, request: Request) -> Mapping[str, str]:
        if request.client == "nobody":
            return {}
        if request.client == "kari":
            return bearer(self._service.person_token(KARI))
        return bearer(self._service.token(request.scopes, organisation=ORGANISATIONS[request.client]))


@pytest.fixture(scope="module")
def altinn_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AltinnClient]:
    """A client of a service that knows the keys of app tokens."""
    keys, certificate = tmp_path_factory.mktemp("keys"), Certificate.make("ttd")
    (keys / "ttd.pem").write_bytes(certificate.pem)
    with running_service(tmp_path_factory.mktemp("served"), EVENTFEED_APP_TOKEN_KEYS=str(keys)) as service:
        yield AltinnClient(service, certificate)


def _texts() -> Mapping[str, str]:
    now = datetime.now(UTC)
    week_ago = now - timedelta(days=7)
    return {
        "new-id": str(uuid.uuid4()),
        "now": now.isoformat().replace("+00:00", "Z"),
        # As a browser's Date writes it.
        "week-ago": week_ago.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def _replace(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.name)
def test_request_of_a_platform_client_is_answered_as_expected(altinn_client: AltinnClient, request_: Request) -> None:
    """Status, events and the next page are those that the sender checks."""
    first_id = altinn_client.publish_first(request_)
    response = altinn_client.send(request_, **{"first-id": first_id})

    assert request_.status == response.status_code, response.text
    events: Sequence[Mapping[str, object]] = response.json() if request_.method == "GET" and response.is_success else ()
    assert request_.events <= len(events)
    assert request_.contains == {name: events[0][name] for name in request_.contains}
    if request_.next:
        next_page = altinn_client.send(request_, path=response.headers["Next"])
        assert next_page.is_success, next_page.text


def test_receipt_of_an_app_event_is_json_as_clients_parse_it(altinn_client: AltinnClient) -> None:
    """Clients parse the body, and keep it as it is."""
    response = altinn_client.send(BY_NAME["post-app-event-as-an-app"])

    assert json.loads(response.text)["id"]


def test_docs_list_every_request_that_is_answered_otherwise() -> None:
    """The page for those who come from the platform has the reason of each difference."""
    text = " ".join(DOCS.read_text().split())

    assert [] == [request.name for request in REQUESTS if request.differs and request.differs not in text]
