"""A double of the platform at the wire: a register, and a decision point with the JSON profile of XACML 3.0."""

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from eventfeed.access.platform import Platform

URL = "https://platform.example.no"
NAMES_URL = "https://cdn.example.no/orgs/altinn-orgs.json"
RESOURCE_CATEGORY = "urn:oasis:names:tc:xacml:3.0:attribute-category:resource"

Json = dict[str, Any]  # a foreign document of no fixed shape
Attributes = Mapping[str, str]


def result(decision: str, *, level: str | None = None, organisations: str | None = None) -> Json:
    """Return one decision with the levels of authentication that it requires, as Altinn's decision point writes it."""
    categories = {"urn:altinn:minimum-authenticationlevel": level}
    categories["urn:altinn:minimum-authenticationlevel-org"] = organisations
    obligations = [
        {
            "Id": f"urn:altinn:obligation:authenticationLevel{number}",
            "AttributeAssignment": [
                {"AttributeId": "a", "Value": value, "Category": category, "DataType": "integer", "Issuer": None}
            ],
        }
        for number, (category, value) in enumerate(categories.items(), 1)
        if value is not None
    ]
    status = {"StatusCode": {"Value": "urn:oasis:names:tc:xacml:1.0:status:ok"}}
    return {"Decision": decision, "Status": status, "Obligations": obligations or None, "PolicyIdentifierList": None}


class PlatformDouble:
    """A platform: `decide` makes the decisions, `respond` the responses, and `parties` are the register by URN.

    `decide` gets the attributes of resource and action. `units` has the parties directly below each known party.
    """

    def __init__(self) -> None:
        self.decide: Callable[[Attributes], Json | None] = lambda _: result("Permit", level="3")
        self.respond: Callable[[httpx.Request, Any], httpx.Response] = lambda _, body: httpx.Response(200, json=body)
        self.parties: dict[str, Json] = {}
        self.units: dict[int, list[int]] = {}
        self.names = httpx.Response(200, json={"orgs": {"ttd": {"orgnr": "991825827"}, "old": {"orgnr": None}}})
        self.requests: list[httpx.Request] = []
        self.platform = Platform(
            url=URL,
            client=httpx.AsyncClient(transport=httpx.MockTransport(self._handle)),
            subscription_key="key",
            token=lambda: "a.b.c",
        )

    @property
    def calls(self) -> int:
        """The number of requests for decisions."""
        return sum(request.url.path == "/authorization/api/v1/authorize" for request in self.requests)

    def last_request(self) -> Json:
        """Return the last request for decisions."""
        request: Json = json.loads(self.requests[-1].content)["Request"]
        return request

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if str(request.url) == NAMES_URL:
            return self.names
        if request.url.path == "/register/api/v1/parties/partylist":
            return self._units(request)
        if request.url.path.startswith("/register/"):
            urns = json.loads(request.content)["data"]
            return self.respond(request, {"data": [self.parties[urn] for urn in urns if urn in self.parties]})
        return self.respond(request, {"Response": self._decisions(json.loads(request.content)["Request"])})

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve the platform on loopback, for a service in a process of its own; provide its URL."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self._handle))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _units(self, request: httpx.Request) -> httpx.Response:
        """Return parties with those directly below them, as Altinn/altinn-register's PartiesController.cs does."""
        known_parties = [
            {"partyId": party, "childParties": [{"partyId": child} for child in self.units[party]] or None}
            for party in json.loads(request.content)
            if party in self.units
        ]
        return self.respond(request, known_parties) if known_parties else httpx.Response(404)

    def _decisions(self, request: Json) -> list[Json]:
        """Return a result for each reference, in random order: the profile promises none."""
        categories = [*request["Resource"], *request["Action"]]
        attributes_by_id = {category["Id"]: category["Attribute"] for category in categories}
        results = []
        for reference in request["MultiRequests"]["RequestReference"]:
            _, action, resource_id = reference["ReferenceId"]
            attributes = attributes_by_id[resource_id]
            asked = [*attributes, *attributes_by_id[action]]
            decision = self.decide({each["AttributeId"]: each["Value"] for each in asked})
            if decision is not None:
                resource = [each for each in attributes if each["IncludeInResult"]]
                results.append({**decision, "Category": [{"CategoryId": RESOURCE_CATEGORY, "Attribute": resource}]})
        random.Random(len(results)).shuffle(results)
        return results


class _Handler(BaseHTTPRequestHandler):
    """Passes requests on; every GET is for the list of short names."""

    def __init__(self, handle: Callable[[httpx.Request], httpx.Response], *arguments: Any) -> None:
        self._handle = handle
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Respond with the list of short names."""
        self._respond(httpx.Request("GET", NAMES_URL))

    def do_POST(self) -> None:
        """Respond as the double does."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._respond(httpx.Request("POST", URL + self.path, content=body))

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _respond(self, request: httpx.Request) -> None:
        response = self._handle(request)
        self.send_response(response.status_code)
        self.send_header("Content-Length", str(len(response.content)))
        self.end_headers()
        self.wfile.write(response.content)
