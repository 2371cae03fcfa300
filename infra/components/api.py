"""The API that the gateway serves: the service's OpenAPI document, and policies for authentication and rate limits."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

import pulumi
from pulumi_azure_native import apimanagement

from components.context import Context
from components.gateway import LOGS, TRACES, Gateway
from components.known_name import known_name
from stack import SYSTEM

GATEWAY = Path(__file__).parents[1] / "gateway"
# The policy files. CALLER is the policy of the whole API and requires a token; the others are for single operations.
CALLER, OPEN, INSTANCE = "caller", "open", "instance"
FRAGMENTS = ("to-service", "problem")
# The backends: the service, that of a second region, and the pool of both, of which one serves.
BACKEND, STANDBY, REGIONS = "service", "standby", "regions"
# The OpenAPI security scheme of the platform's token.
_PLATFORM_SCHEME = "platform"
_INSTANCE_FEED = "instanceeventsforinstance"
# Query parameters that identify the caller or the data that it reads. The gateway's telemetry hides them.
HIDDEN_QUERY_PARAMETERS = ("party", "unit", "person", "source", "after", "resource")
# The service accepts every path with and without a slash at its end. Existing clients add one to this path.
TRAILING_SLASH_PATH = "/events/api/v1/party"
SAMPLING_PERCENT = {False: 100, True: 10}


class Operation(NamedTuple):
    """An operation of the OpenAPI document and the file name of its policy."""

    id: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class ApiArgs:
    """The arguments of `Api`."""

    context: Context
    gateway: Gateway
    service_url: pulumi.Output[str]
    # The service in a second region.
    standby_url: pulumi.Output[str] | None


class Api(pulumi.ComponentResource):
    """The imported API, its policies, and the backends with a circuit breaker."""

    def __init__(self, name: str, args: ApiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Api", name, None, opts)
        self._args, self._child_options = args, pulumi.ResourceOptions(parent=self)
        # Every child is in this group and this API Management service.
        self._group_name, self._service_name = args.context.group.name, args.gateway.name
        (self._backend_id, backend), api = self._create_backends(), self._create_api()
        fragments = [self._create_fragment(name, after=[backend, args.gateway.secret]) for name in FRAGMENTS]
        # Azure refuses a second write to an API at the same time: each write waits for the one before.
        product = self._create_product(api)
        traces = self._create_diagnostic(api, TRACES, after=product)
        logs = self._create_diagnostic(api, LOGS, after=traces)
        self._create_policies(api, fragments=fragments, after=logs)
        # Sent only after the diagnostic that hides personal data is there.
        args.context.observability.send_logs(
            "gateway", args.gateway.id, logs=["GatewayLogs"], parent=self, after=[logs]
        )
        self.register_outputs({})

    def _create_api(self) -> apimanagement.Api:
        """Import the API. Its paths contain the version; a request for another version by header matches no API."""
        versions = apimanagement.ApiVersionSet(
            SYSTEM,
            resource_group_name=self._group_name,
            service_name=self._service_name,
            version_set_id=SYSTEM,
            display_name=SYSTEM,
            versioning_scheme="Header",
            version_header_name="Api-Version",
            opts=self._child_options,
        )
        return apimanagement.Api(
            SYSTEM,
            resource_group_name=self._group_name,
            service_name=self._service_name,
            api_id=SYSTEM,
            api_version_set_id=versions.id,
            display_name=SYSTEM,
            path="",
            protocols=["https"],
            format="openapi+json",
            value=json.dumps(_gateway_document()),
            # In the path, a missing required parameter would be the gateway's 404 and not the service's 400.
            translate_required_query_parameters_conduct=apimanagement.TranslateRequiredQueryParametersConduct.QUERY,
            # Callers authenticate by token, not by subscription key.
            subscription_required=False,
            opts=self._child_options,
        )

    def _create_product(self, api: apimanagement.Api) -> pulumi.Resource:
        product = apimanagement.Product(
            SYSTEM,
            resource_group_name=self._group_name,
            service_name=self._service_name,
            product_id=SYSTEM,
            display_name=SYSTEM,
            description="Events in one sequence: publish, and follow.",
            subscription_required=False,
            state=apimanagement.ProductState.PUBLISHED,
            opts=self._child_options,
        )
        return apimanagement.ProductApi(
            SYSTEM,
            resource_group_name=self._group_name,
            service_name=self._service_name,
            product_id=known_name(product),
            api_id=known_name(api),
            opts=self._child_options,
        )

    def _create_backends(self) -> tuple[str, apimanagement.Backend]:
        """Return the backend that serves, and its id: that of the service, or with a second region the pool of both."""
        service = self._create_backend(BACKEND, self._args.service_url)
        region, standby_url = self._args.context.stack.second_region, self._args.standby_url
        if region is None or standby_url is None:
            return BACKEND, service
        standby = self._create_backend(STANDBY, standby_url)
        order = [standby, service] if region.serves else [service, standby]
        pool = apimanagement.Backend(
            REGIONS,
            resource_group_name=self._group_name,
            service_name=self._service_name,
            backend_id=REGIONS,
            type=apimanagement.BackendType.POOL,
            # A request goes to the second one only while the circuit breaker of the first one is open.
            pool=apimanagement.BackendBaseParametersPoolArgs(
                services=[
                    apimanagement.BackendPoolItemArgs(id=backend.id, priority=rank)
                    for rank, backend in enumerate(order, 1)
                ]
            ),
            opts=self._child_options,
        )
        return REGIONS, pool

    def _create_backend(self, name: str, url: pulumi.Output[str]) -> apimanagement.Backend:
        """Create the backend. Its circuit breaker ignores 503, which carries a retry time of its own."""
        status_ranges = [
            apimanagement.FailureStatusCodeRangeArgs(min=low, max=high) for low, high in [(500, 502), (504, 504)]
        ]
        rule = apimanagement.CircuitBreakerRuleArgs(
            name="failing",
            failure_condition=apimanagement.CircuitBreakerFailureConditionArgs(
                count=20, interval="PT1M", status_code_ranges=status_ranges
            ),
            trip_duration="PT15S",
            accept_retry_after=True,
        )
        return apimanagement.Backend(
            name,
            resource_group_name=self._group_name,
            service_name=self._service_name,
            backend_id=name,
            protocol="http",
            url=url,
            tls=apimanagement.BackendTlsPropertiesArgs(validate_certificate_chain=True, validate_certificate_name=True),
            circuit_breaker=apimanagement.BackendCircuitBreakerArgs(rules=[rule]),
            opts=self._child_options,
        )

    def _create_diagnostic(self, api: apimanagement.Api, kind: str, *, after: pulumi.Resource) -> pulumi.Resource:
        """Trace or log a sample of requests without bodies, headers, addresses and personal query parameters."""
        messages = _messages_without_content()
        return apimanagement.ApiDiagnostic(
            kind,
            resource_group_name=self._group_name,
            service_name=self._service_name,
            api_id=known_name(api),
            diagnostic_id=kind,
            logger_id=self._args.gateway.logger_ids[kind],
            # Only traces are correlated, and have names.
            http_correlation_protocol="W3C" if kind == TRACES else None,
            operation_name_format="Name" if kind == TRACES else None,
            log_client_ip=False,
            verbosity="error",
            sampling=apimanagement.SamplingSettingsArgs(
                sampling_type="fixed", percentage=SAMPLING_PERCENT[self._args.context.stack.production]
            ),
            frontend=messages,
            backend=messages,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[after]),
        )

    def _create_fragment(self, name: str, *, after: Sequence[pulumi.Resource]) -> apimanagement.PolicyFragment:
        return apimanagement.PolicyFragment(
            name,
            resource_group_name=self._group_name,
            service_name=self._service_name,
            id=name,
            format="xml",
            value=self._policy_text(name),
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _create_policies(
        self, api: apimanagement.Api, *, fragments: Sequence[pulumi.Resource], after: pulumi.Resource
    ) -> None:
        """Create a policy for each operation without a platform token, and then the policy of the whole API."""
        for operation in operations(_service_document()):
            if operation.policy != CALLER:
                after = apimanagement.ApiOperationPolicy(
                    operation.id,
                    resource_group_name=self._group_name,
                    service_name=self._service_name,
                    api_id=known_name(api),
                    operation_id=operation.id,
                    policy_id="policy",
                    format="xml",
                    value=self._policy_text(operation.policy),
                    opts=pulumi.ResourceOptions(parent=self, depends_on=[*fragments, after]),
                )
        apimanagement.ApiPolicy(
            CALLER,
            resource_group_name=self._group_name,
            service_name=self._service_name,
            api_id=known_name(api),
            policy_id="policy",
            format="xml",
            value=self._policy_text(CALLER),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*fragments, after]),
        )

    def _policy_text(self, name: str) -> pulumi.Output[str]:
        """Return a policy file with public address, backend, the platform's issuer and CORS origins filled in."""
        text, stack = Template((GATEWAY / f"{name}.xml").read_text()), self._args.context.stack
        values = {
            "backend": self._backend_id,
            "cors": _cors_policy(stack.cors_origins),
            **_platform_elements(stack.platform.issuer),
        }
        body = Template((GATEWAY / "problem-body.xml").read_text())
        return self._args.gateway.url.apply(
            lambda url: text.substitute(values, public_url=escape(url), problem=body.substitute(public_url=escape(url)))
        )


def _messages_without_content() -> apimanagement.PipelineDiagnosticSettingsArgs:
    hidden_parameters = [
        apimanagement.DataMaskingEntityArgs(value=name, mode="Hide") for name in HIDDEN_QUERY_PARAMETERS
    ]
    message = apimanagement.HttpMessageDiagnosticArgs(
        body=apimanagement.BodyDiagnosticSettingsArgs(bytes=0),
        headers=[],
        data_masking=apimanagement.DataMaskingArgs(query_params=hidden_parameters),
    )
    return apimanagement.PipelineDiagnosticSettingsArgs(request=message, response=message)


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield the operations of an OpenAPI document, under the ids that the gateway assigns."""
    for path, methods in document["paths"].items():
        for operation in methods.values():
            schemes = {scheme for each in operation.get("security", document["security"]) for scheme in each}
            open_policy = INSTANCE if _INSTANCE_FEED in path else OPEN
            # Azure converts operation ids to lower case.
            yield Operation(operation["operationId"].lower(), CALLER if _PLATFORM_SCHEME in schemes else open_policy)


def _platform_elements(issuer: str) -> Mapping[str, str]:
    """Return the elements by which the gateway accepts tokens of the platform's issuer; "" without one."""
    if not issuer:
        return {"platform_configuration": "", "platform_issuer": ""}
    document = quoteattr(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    return {
        "platform_configuration": f'<openid-config url={document} validate-connectivity="false" />',
        "platform_issuer": f"<issuer>{escape(issuer)}</issuer>",
    }


def _cors_policy(origins: Sequence[str]) -> str:
    """Return the CORS policy for the origins; "" when there are none."""
    elements = "".join(f"<origin>{escape(origin)}</origin>" for origin in origins)
    return Template((GATEWAY / "cors.xml").read_text()).substitute(origins=elements) if origins else ""


def _service_document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((GATEWAY / "openapi.json").read_text())
    return document


def _gateway_document() -> dict[str, Any]:
    """Return the service's document with the second spelling of a path, which the gateway would not match."""
    document = _service_document()
    paths = document["paths"]
    paths[f"{TRAILING_SLASH_PATH}/"] = {
        method: {**operation, "operationId": f"{operation['operationId']}WithSlash"}
        for method, operation in paths[TRAILING_SLASH_PATH].items()
    }
    return document
