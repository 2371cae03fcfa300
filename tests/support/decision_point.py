"""The platform at the wire: a policy decision point that speaks the JSON profile of XACML 3.0, and a register.

It answers as it is told to, and remembers what it was asked.
"""

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from eventfeed.access.platform import Platform

URL = "https://platform.example.no"
NAMES_URL = "https://cdn.example.no/orgs/altinn-orgs.json"
RESOURCE_CATEGORY = "urn:oasis:names:tc:xacml:3.0:attribute-category:resource"

Json = dict[str, Any]  # a foreign document of no fixed shape
Attributes = Mapping[str, str]


def result(decision: str, *, level: str | None = None, organisations: str | None = None) -> Json:
    """One decision, with the levels of authentication that it obliges to, as Altinn's decision point writes it."""
    categories = {"urn:altinn:minimum-authenticationlevel": level}
    categories["urn:altinn:minimum-authenticationlevel-org"] = organisations
    obligations = [
        {
            "Id": f"urn:altinn:obligation:authenticationLevel{place}",
            "AttributeAssignment": [
                {"AttributeId": "a", "Value": value, "Category": category, "DataType": "integer", "Issuer": None}
            ],
        }
        for place, (category, value) in enumerate(categories.items(), 1)
        if value is not None
    ]
    status = {"StatusCode": {"Value": "urn:oasis:names:tc:xacml:1.0:status:ok"}}
    return {"Decision": decision, "Status": status, "Obligations": obligations or None, "PolicyIdentifierList": None}


class PlatformDouble:
    """Permits what `decide` says; `spoil` turns a whole answer into another one, `known` are the parties it knows."""

    def __init__(self) -> None:
        self.decide: Callable[[Attributes], Json | None] = lambda _: result("Permit", level="3")
        self.spoil: Callable[[httpx.Request, Json], httpx.Response] = lambda _, answer: httpx.Response(200, json=answer)
        self.known: dict[str, Json] = {}
        self.names = httpx.Response(200, json={"orgs": {"ttd": {"orgnr": "991825827"}, "old": {"orgnr": None}}})
        self.requests: list[httpx.Request] = []
        self.platform = Platform(
            url=URL,
            client=httpx.AsyncClient(transport=httpx.MockTransport(self._answer)),
            subscription_key="key",
            token=lambda: "a.b.c",
        )

    @property
    def calls(self) -> int:
        """How often decisions were asked for."""
        return sum(request.url.path == "/authorization/api/v1/authorize" for request in self.requests)

    def asked(self) -> Json:
        """The last request for decisions."""
        request: Json = json.loads(self.requests[-1].content)["Request"]
        return request

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if str(request.url) == NAMES_URL:
            return self.names
        if request.url.path.startswith("/register/"):
            found = [self.known[urn] for urn in json.loads(request.content)["data"] if urn in self.known]
            return self.spoil(request, {"data": found})
        return self.spoil(request, {"Response": self._decisions(json.loads(request.content)["Request"])})

    def _decisions(self, asked: Json) -> list[Json]:
        """A result for each reference, in any order: the profile promises none."""
        resources = {resource["Id"]: resource["Attribute"] for resource in asked["Resource"]}
        results = []
        for reference in asked["MultiRequests"]["RequestReference"]:
            attributes = resources[reference["ReferenceId"][2]]
            decided = self.decide({each["AttributeId"]: each["Value"] for each in attributes})
            if decided is not None:
                told = [each for each in attributes if each["IncludeInResult"]]
                results.append({**decided, "Category": [{"CategoryId": RESOURCE_CATEGORY, "Attribute": told}]})
        random.Random(len(results)).shuffle(results)
        return results
