"""What the gateway serves: the service's own OpenAPI document, and policies that say who may ask how often."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import pulumi
from pulumi_azure_native import apimanagement

from components.gateway import Gateway
from components.site import Site
from stack import SYSTEM

GATEWAY = Path(__file__).parents[1] / "gateway"
# Every operation asks for a token but those that have a policy of their own.
CALLER, OPEN, INSTANCE = "caller", "open", "instance"
FRAGMENTS = ("to-service", "problem")
BACKEND = "service"
# The scheme of the document's security that stands for the platform's token.
_PLATFORM = "platform"
_ANONYMOUS = "instanceeventsforinstance"
# What says who a caller is, or what it reads, is no matter of the gateway's telemetry.
HIDDEN_QUERY = ("party", "unit", "person", "source", "after", "resource")
# The service takes a path with or without a slash at its end; existing clients write this one with it.
WITH_SLASH = "/events/api/v1/party"
SAMPLED_PERCENT = {False: 100, True: 10}


class Operation(NamedTuple):
    """An operation of the document, and the policy it has: `CALLER` is everyone's."""

    id: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class ApiArgs:
    """The gateway that serves it, and where the service is."""

    site: Site
    gateway: Gateway
    service_url: pulumi.Output[str]


class Api(pulumi.ComponentResource):
    """The API as the service describes it, before a backend that is left alone while it fails."""

    def __init__(self, name: str, args: ApiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Api", name, None, opts)
        self._args, self._mine = args, pulumi.ResourceOptions(parent=self)
        backend, made = self._backend(), self._api()
        self._product(made)
        self._diagnostic(made)
        fragments = [self._fragment(each, after=[backend, args.gateway.secret]) for each in FRAGMENTS]
        self._policies(made, after=fragments)
        self.register_outputs({})

    def _api(self) -> apimanagement.Api:
        """Its paths name their version; whoever asks for another version by header finds none."""
        versions = apimanagement.ApiVersionSet(
            SYSTEM,
            resource_group_name=self._args.site.place.group,
            service_name=self._args.gateway.name,
            version_set_id=SYSTEM,
            display_name=SYSTEM,
            versioning_scheme="Header",
            version_header_name="Api-Version",
            opts=self._mine,
        )
        return apimanagement.Api(
            SYSTEM,
            resource_group_name=self._args.site.place.group,
            service_name=self._args.gateway.name,
            api_id=SYSTEM,
            api_version_set_id=versions.id,
            display_name=SYSTEM,
            path="",
            protocols=["https"],
            format="openapi+json",
            value=json.dumps(_document()),
            # As parts of a path, parameters that a caller forgets would be the gateway's 404, not the service's 400.
            translate_required_query_parameters_conduct=apimanagement.TranslateRequiredQueryParametersConduct.QUERY,
            # Callers are known by their tokens.
            subscription_required=False,
            opts=self._mine,
        )

    def _product(self, api: apimanagement.Api) -> None:
        product = apimanagement.Product(
            SYSTEM,
            resource_group_name=self._args.site.place.group,
            service_name=self._args.gateway.name,
            product_id=SYSTEM,
            display_name=SYSTEM,
            description="Events in one sequence: publish, and follow.",
            subscription_required=False,
            state=apimanagement.ProductState.PUBLISHED,
            opts=self._mine,
        )
        apimanagement.ProductApi(
            SYSTEM,
            resource_group_name=self._args.site.place.group,
            service_name=self._args.gateway.name,
            product_id=product.name,
            api_id=api.name,
            opts=self._mine,
        )

    def _backend(self) -> apimanagement.Backend:
        """The service. A 503 is an answer of its own, with the time to come back: it trips nothing."""
        failing = [(500, 502), (504, 504)]
        rule = apimanagement.CircuitBreakerRuleArgs(
            name="failing",
            failure_condition=apimanagement.CircuitBreakerFailureConditionArgs(
                count=20,
                interval="PT1M",
                status_code_ranges=[
                    apimanagement.FailureStatusCodeRangeArgs(min=low, max=high) for low, high in failing
                ],
            ),
            trip_duration="PT15S",
            accept_retry_after=True,
        )
        return apimanagement.Backend(
            BACKEND,
            resource_group_name=self._args.site.place.group,
            service_name=self._args.gateway.name,
            backend_id=BACKEND,
            protocol="http",
            url=self._args.service_url,
            tls=apimanagement.BackendTlsPropertiesArgs(validate_certificate_chain=True, validate_certificate_name=True),
            circuit_breaker=apimanagement.BackendCircuitBreakerArgs(rules=[rule]),
            opts=self._mine,
        )

    def _diagnostic(self, api: apimanagement.Api) -> None:
        """A part of the requests, in the caller's trace: no bodies, no headers, no addresses, no telling queries."""
        hidden = [apimanagement.DataMaskingEntityArgs(value=each, mode="Hide") for each in HIDDEN_QUERY]
        silent = apimanagement.HttpMessageDiagnosticArgs(
            body=apimanagement.BodyDiagnosticSettingsArgs(bytes=0),
            headers=[],
            data_masking=apimanagement.DataMaskingArgs(query_params=hidden),
        )
        both = apimanagement.PipelineDiagnosticSettingsArgs(request=silent, response=silent)
        apimanagement.ApiDiagnostic(
            "telemetry",
            resource_group_name=self._args.site.place.group,
            service_name=self._args.gateway.name,
            api_id=api.name,
            diagnostic_id="applicationinsights",
            logger_id=self._args.gateway.logger_id,
            http_correlation_protocol="W3C",
            operation_name_format="Name",
            log_client_ip=False,
            verbosity="error",
            sampling=apimanagement.SamplingSettingsArgs(
                sampling_type="fixed", percentage=SAMPLED_PERCENT[self._args.site.stack.production]
            ),
            frontend=both,
            backend=both,
            opts=self._mine,
        )

    def _fragment(self, name: str, *, after: Sequence[pulumi.Resource]) -> apimanagement.PolicyFragment:
        return apimanagement.PolicyFragment(
            name,
            resource_group_name=self._args.site.place.group,
            service_name=self._args.gateway.name,
            id=name,
            format="xml",
            value=self._filled(name),
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _policies(self, api: apimanagement.Api, *, after: Sequence[pulumi.Resource]) -> None:
        """One for the whole API, which asks for a token; one for each operation that does not."""
        mine = pulumi.ResourceOptions(parent=self, depends_on=after)
        apimanagement.ApiPolicy(
            CALLER,
            resource_group_name=self._args.site.place.group,
            service_name=self._args.gateway.name,
            api_id=api.name,
            policy_id="policy",
            format="xml",
            value=self._filled(CALLER),
            opts=mine,
        )
        for operation in operations(json.loads((GATEWAY / "openapi.json").read_text())):
            if operation.policy != CALLER:
                apimanagement.ApiOperationPolicy(
                    operation.id,
                    resource_group_name=self._args.site.place.group,
                    service_name=self._args.gateway.name,
                    api_id=api.name,
                    operation_id=operation.id,
                    policy_id="policy",
                    format="xml",
                    value=self._filled(operation.policy),
                    opts=mine,
                )

    def _filled(self, name: str) -> pulumi.Output[str]:
        """A policy with the address that the world knows, and the pages that may call from a browser."""
        text, origins = Template((GATEWAY / f"{name}.xml").read_text()), self._args.site.stack.cors_origins
        return self._args.gateway.url.apply(lambda url: text.substitute(public_url=escape(url), cors=_cors(origins)))


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """The operations of an OpenAPI document under the ids that the gateway gives them, each with its policy."""
    for path, methods in document["paths"].items():
        for described in methods.values():
            schemes = {scheme for each in described.get("security", document["security"]) for scheme in each}
            own = INSTANCE if _ANONYMOUS in path else OPEN
            # Azure writes such an id in lower case.
            yield Operation(described["operationId"].lower(), CALLER if _PLATFORM in schemes else own)


def _cors(origins: Sequence[str]) -> str:
    """Which pages may call, as a policy; nothing when none may."""
    listed = "".join(f"<origin>{escape(each)}</origin>" for each in origins)
    return Template((GATEWAY / "cors.xml").read_text()).substitute(origins=listed) if origins else ""


def _document() -> dict[str, Any]:
    """The service's own document, and the other spelling of a path that the gateway would not know."""
    document: dict[str, Any] = json.loads((GATEWAY / "openapi.json").read_text())
    paths = document["paths"]
    paths[f"{WITH_SLASH}/"] = {
        method: {**described, "operationId": f"{described['operationId']}WithSlash"}
        for method, described in paths[WITH_SLASH].items()
    }
    return document
