"""The gateway's policies as parsed XML, the imported API, and the gateway's telemetry."""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from tests.infra.mock_run import INFRA, MockRun, RegisteredResource
from tests.infra.session_runs import SessionRuns

# Contract section 9: the operations that require no token.
OPEN_OPERATIONS = {
    "GET /health/live",
    "GET /health/ready",
    "GET /authentication/api/v1/openid/.well-known/openid-configuration",
    "GET /authentication/api/v1/openid/.well-known/openid-configuration/jwks",
    "GET /authentication/api/v1/openid/jwks",
    "GET /authentication/api/v1/exchange/{provider}",
    "GET /problems/{code}",
    "GET /schema/openapi.json",
    "POST /events/instanceeventsforinstance/{party}/{guid}",
    "POST /events/instanceeventsforinstance/{guid}",
    "POST /events/api/v1/instanceeventsforinstance/{party}/{guid}",
    "POST /events/api/v1/instanceeventsforinstance/{guid}",
}
INSTANCE_FEED = "instanceeventsforinstance"
# The policies that a tier lacks: https://learn.microsoft.com/azure/api-management/api-management-policies
UNSUPPORTED_POLICIES = {
    "Consumption": {"rate-limit-by-key", "quota-by-key", "cache-lookup", "cache-store"},
    "BasicV2": {"quota-by-key", "set-backend-service-fabric"},
    "StandardV2": {"quota-by-key", "set-backend-service-fabric"},
}
ADDRESS = "@(context.Request.IpAddress)"
SECTIONS = ("inbound", "backend", "outbound", "on-error")


class Operation(NamedTuple):
    """An operation of the imported document: its method and path, and the policy that applies to it."""

    name: str
    policy: ET.Element


def parse_policy(text: str) -> ET.Element:
    """Parse a policy's XML."""
    return ET.fromstring(text)  # noqa: S314  # a file of the project


def api_policy(run: MockRun) -> ET.Element:
    """Return the policy of the whole API."""
    return parse_policy(run.one("apimanagement:ApiPolicy").plain["value"])


def operations(run: MockRun) -> Iterator[Operation]:
    """Yield every operation with its own policy, or with the API's policy when it has none."""
    document = json.loads(run.one("apimanagement:Api").plain["value"])
    default = api_policy(run)
    own_policies = {
        each.plain["operationId"]: each.plain["value"] for each in run.of("apimanagement:ApiOperationPolicy")
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            text = own_policies.pop(operation["operationId"].lower(), None)
            yield Operation(f"{method.upper()} {path}", default if text is None else parse_policy(text))
    assert {} == own_policies


def fragments(run: MockRun) -> Mapping[str, ET.Element]:
    """Return the policy fragments by name."""
    return {each.name: parse_policy(each.plain["value"]) for each in run.of("apimanagement:PolicyFragment")}


def statements(run: MockRun, policy: ET.Element, section: str) -> list[ET.Element]:
    """Return the statements of a policy's section in order, with fragments replaced by their statements."""
    elements = policy.find(section)
    assert elements is not None
    contents = fragments(run)
    return [
        statement
        for each in elements
        for statement in (contents[str(each.get("fragment-id"))] if each.tag == "include-fragment" else [each])
    ]


def statement_names(run: MockRun, policy: ET.Element, section: str = "inbound") -> list[str]:
    """Return the names of a section's statements in order."""
    return [each.tag for each in statements(run, policy, section)]


def statements_named(run: MockRun, name: str) -> list[ET.Element]:
    """Return every distinct statement with this name in all policies."""
    distinct = {
        ET.tostring(each): each
        for operation in operations(run)
        for section in SECTIONS
        for statement in statements(run, operation.policy, section)
        for each in statement.iter(name)
    }
    return list(distinct.values())


def environment(run: MockRun) -> Mapping[str, str | None]:
    """Return the container's environment variables; None for a reference to a secret."""
    (container,) = run.one("app:ContainerApp").plain["template"]["containers"]
    return {each["name"]: each.get("value") for each in container["env"]}


def test_operations_without_token_are_those_of_the_contract(run: MockRun) -> None:
    """Every other operation requires a token, and so does one that is added without a policy of its own."""
    without_token = {each.name for each in operations(run) if "validate-jwt" not in statement_names(run, each.policy)}

    assert OPEN_OPERATIONS == without_token
    assert "validate-jwt" in statement_names(run, api_policy(run))


def test_tokens_are_validated_by_the_services_discovery_document(run: MockRun) -> None:
    """The document is at the service's public address; tokens must be signed and must expire."""
    url = run.outputs["url"]
    (statement,) = statements_named(run, "validate-jwt")
    configuration, issuer = statement.find("openid-config"), statement.find("issuers/issuer")
    assert configuration is not None
    assert issuer is not None

    assert environment(run)["EVENTFEED_PUBLIC_URL"] == url
    assert f"{url}/authentication/api/v1/openid/.well-known/openid-configuration" == configuration.get("url")
    assert "false" == configuration.get("validate-connectivity")
    assert f"{url}/authentication/api/v1/openid/" == issuer.text
    attributes = {"header-name": "Authorization", "require-scheme": "Bearer", "failed-validation-httpcode": "401"}
    attributes |= {"require-expiration-time": "true", "require-signed-tokens": "true"}
    assert attributes.items() <= statement.attrib.items()


def test_tokens_of_the_platform_pass_the_gateway_if_the_service_accepts_them(session_runs: SessionRuns) -> None:
    """Its discovery document and its exact issuer stand beside those of the service."""
    issuer = "https://platform.example.no/authentication/api/v1/openid/"
    run = session_runs.get("dev", {"platformIssuer": issuer})
    (statement,) = statements_named(run, "validate-jwt")
    (without,) = statements_named(session_runs.get("dev"), "validate-jwt")

    assert f"{issuer}.well-known/openid-configuration" in [each.get("url") for each in statement.iter("openid-config")]
    assert issuer in [each.text for each in statement.iter("issuer")]
    assert [(2, 2), (1, 1)] == [
        (len(list(each.iter("openid-config"))), len(list(each.iter("issuer")))) for each in (statement, without)
    ]


def test_every_operation_has_a_rate_limit(run: MockRun) -> None:
    """With a token by organisation, system user or person, after the token's validation; without one by address."""
    for operation in operations(run):
        order = statement_names(run, operation.policy)
        inbound = statements(run, operation.policy, "inbound")
        (limit,) = [each for each in inbound if each.tag == "rate-limit-by-key"]
        key = limit.get("counter-key", "")

        if "validate-jwt" in order:
            assert order.index("validate-jwt") < order.index("rate-limit-by-key")
            assert re.search(r"urn:altinn:orgNumber.*urn:altinn:systemuser:uuid.*urn:altinn:userid", key)
        else:
            assert ADDRESS == key
        assert int(limit.get("calls", "0")) > 0
        assert "60" == limit.get("renewal-period")


def test_statements_are_supported_by_the_tier(run: MockRun) -> None:
    """No policy uses a statement that the gateway's tier lacks."""
    tier = run.one("apimanagement:ApiManagementService").plain["sku"]["name"]
    names = {
        each.tag
        for operation in operations(run)
        for section in SECTIONS
        for statement in statements(run, operation.policy, section)
        for each in statement.iter()
    }

    assert set() == names & UNSUPPORTED_POLICIES[tier]
    assert "rate-limit-by-key" in names


def test_bodies_are_not_buffered(run: MockRun) -> None:
    """Requests and responses are streamed, and the timeout is longer than the longest poll."""
    for operation in operations(run):
        (forward,) = statements(run, operation.policy, "backend")
        can_wait = operation.name not in OPEN_OPERATIONS or INSTANCE_FEED in operation.name
        outbound = set(statement_names(run, operation.policy, "outbound"))

        assert "forward-request" == forward.tag
        assert {"buffer-response": "false", "buffer-request-body": "false"}.items() <= forward.attrib.items()
        assert int(forward.get("timeout", "0")) > 60 or not can_wait
        assert not {"set-body", "find-and-replace", "json-to-xml", "cache-store"} & outbound


def test_address_and_secret_headers_come_from_the_gateway_alone(run: MockRun) -> None:
    """On every operation, values that the caller sends are overwritten or deleted."""
    address_header = environment(run)["EVENTFEED_CLIENT_ADDRESS_HEADER"]
    for operation in operations(run):
        headers = {
            each.get("name"): (each.get("exists-action"), [value.text for value in each])
            for each in statements(run, operation.policy, "inbound")
            if each.tag == "set-header"
        }

        assert ("override", [ADDRESS]) == headers[address_header]
        assert ("override", ["{{gateway-secret}}"]) == headers["X-Gateway-Secret"]
        assert [("delete", [])] * 2 == [headers.get("X-Forwarded-For"), headers.get("Forwarded")]


def test_every_operation_uses_the_services_backend(run: MockRun) -> None:
    """The backend is the service at its own name, over TLS with a validated certificate."""
    backend = run.one("apimanagement:Backend").plain

    assert {"service"} == {each.get("backend-id") for each in statements_named(run, "set-backend-service")}
    assert all("set-backend-service" in statement_names(run, each.policy) for each in operations(run))
    assert "service" == backend["backendId"]
    assert backend["url"].startswith(f"https://{run.one('app:ContainerApp').id.rpartition('/')[2]}.")
    assert {"validateCertificateChain": True, "validateCertificateName": True} == backend["tls"]


def test_circuit_breaker_ignores_throttling_responses(run: MockRun) -> None:
    """Server errors open it; 429 and 503 carry a retry time and do not. The gateway itself retries nothing."""
    (rule,) = run.one("apimanagement:Backend").plain["circuitBreaker"]["rules"]
    ranges = [range(each["min"], each["max"] + 1) for each in rule["failureCondition"]["statusCodeRanges"]]

    assert any(502 in each for each in ranges)
    assert not any(status in each for each in ranges for status in (429, 503))
    assert [] == statements_named(run, "retry")


def test_instance_feed_accepts_only_after_and_size(run: MockRun) -> None:
    """Another query parameter or a body over 16 KiB is refused, and a token is not forwarded."""
    policies = [each.policy for each in operations(run) if INSTANCE_FEED in each.name]
    for policy in policies:
        inbound, order = statements(run, policy, "inbound"), statement_names(run, policy)
        (when,) = [condition for each in inbound if each.tag == "choose" for condition in each.findall("when")]
        (content,) = [each for each in inbound if each.tag == "validate-content"]
        condition = when.get("condition", "")

        assert {"after", "size"} == set(re.findall(r'name != "(\w+)"', condition))
        assert "context.Request.Url.Query.Keys.Any" in condition
        assert "400" == when.find("return-response/set-status").get("code")  # type: ignore[union-attr]  # it exists
        assert ("16384", "prevent") == (content.get("max-size"), content.get("size-exceeded-action"))
        assert order.index("rate-limit-by-key") < order.index("choose") < order.index("set-backend-service")
    assert 4 == len(policies)


def test_large_request_is_refused_before_token_validation(run: MockRun) -> None:
    """The API's policy refuses a Content-Length over 2 MiB with 413."""
    inbound = statements(run, api_policy(run), "inbound")
    (choice,) = [each for each in inbound if each.tag == "choose"]
    condition = str(choice[0].get("condition"))

    assert "Content-Length" in condition
    assert condition.endswith("> 2097152)")
    assert "413" == choice[0].find("return-response/set-status").get("code")  # type: ignore[union-attr]  # it exists


def test_cors_allows_exactly_the_configured_origins(session_runs: SessionRuns) -> None:
    """Only the listed origins may call, without the browser's credentials."""
    run = session_runs.get("dev", {"corsOrigins": "https://a.example.no https://b.example.no"})
    for operation in operations(run):
        (cors,) = [each for each in statements(run, operation.policy, "inbound") if each.tag == "cors"]

        assert ["https://a.example.no", "https://b.example.no"] == [each.text for each in cors.iter("origin")]
        assert "false" == cors.get("allow-credentials")
        assert {"*"}.isdisjoint(each.text for each in cors.iter())


def test_cors_names_the_headers_of_the_imported_document(session_runs: SessionRuns) -> None:
    """A browser sends no other request header than these, and shows a page no other response header.

    Publishers in binary mode and apps, which have a token of their own, are no pages.
    """
    run = session_runs.get("dev", {"corsOrigins": "https://a.example.no https://b.example.no"})
    document = json.loads(run.one("apimanagement:Api").plain["value"])
    (cors,) = api_policy(run).iter("cors")
    allowed, exposed = (
        {each.text for part in cors.iter(name) for each in part} for name in ("allowed-headers", "expose-headers")
    )
    parameters = document["components"]["parameters"].values()
    request_headers = {each["name"].lower() for each in parameters if each["in"] == "header"}

    assert (
        request_headers - {"ce-id", "platformaccesstoken"} | {"accept", "authorization", "content-type", "traceparent"}
        == allowed
    )
    assert set(response_headers(document)) == exposed


def response_headers(document: object) -> Iterator[str]:
    """Yield the name, in lower case, of each response header in a part of the document."""
    if isinstance(document, dict):
        headers = document.get("headers")
        if "description" in document and isinstance(headers, dict):
            yield from map(str.lower, headers)
        for each in document.values():
            yield from response_headers(each)


def test_cors_is_absent_without_configured_origins(run: MockRun) -> None:
    """The files of both stacks configure no origin."""
    assert [] == statements_named(run, "cors")


def test_trace_context_is_forwarded_unchanged(run: MockRun) -> None:
    """No policy sets `traceparent` or `tracestate`, and the gateway's telemetry uses W3C Trace Context."""
    headers = {str(each.get("name")).lower() for each in statements_named(run, "set-header")}

    assert not {"traceparent", "tracestate"} & headers
    assert "W3C" == run.one("apimanagement:ApiDiagnostic", "applicationinsights").plain["httpCorrelationProtocol"]


def test_responses_are_never_cached(run: MockRun) -> None:
    """No policy contains a statement for a cache: responses are personal."""
    names = ("cache-store", "cache-lookup", "cache-store-value", "cache-lookup-value")

    assert [] == [each for name in names for each in statements_named(run, name)]


def test_telemetry_contains_no_personal_data(run: MockRun) -> None:
    """No bodies, headers, addresses or personal query parameters, and no policy logs anything itself."""
    diagnostics = [each.plain for each in run.of("apimanagement:ApiDiagnostic")]
    parts = [(side, part) for side in ("frontend", "backend") for part in ("request", "response")]
    messages = [each[side][part] for each in diagnostics for side, part in parts]
    log_statements = [
        each for name in ("trace", "log-to-eventhub", "emit-metric") for each in statements_named(run, name)
    ]

    assert {(False, "error")} == {(each["logClientIp"], each["verbosity"]) for each in diagnostics}
    assert 8 == len(messages)
    for message in messages:
        assert (0, []) == (message["body"]["bytes"], message["headers"])
        parameters = {each["value"] for each in message["dataMasking"]["queryParams"] if each["mode"] == "Hide"}
        assert {"party", "unit", "person"} <= parameters
    assert [] == log_statements


def test_gateway_errors_are_problem_details(run: MockRun) -> None:
    """On every operation, an error of the gateway itself has a problem body (RFC 9457)."""
    for operation in operations(run):
        responses = [
            each for part in statements(run, operation.policy, "on-error") for each in part.iter("return-response")
        ]

        assert 5 == len(responses)
        for response in responses:
            status, *headers, body = response
            content_type = {each.get("name"): each[0].text for each in headers}["Content-Type"]

            assert ("set-status", "set-body") == (status.tag, body.tag)
            assert "application/problem+json" == content_type


def test_operation_policies_inherit_nothing(run: MockRun) -> None:
    """Only the API's policy contains <base />; the policy of an operation is complete."""
    own_policies = [parse_policy(each.plain["value"]) for each in run.of("apimanagement:ApiOperationPolicy")]

    assert "base" in [each.tag for each in api_policy(run).iter()]
    assert [] == [each for policy in own_policies for each in policy.iter("base")]


def test_policies_depend_on_their_references(run: MockRun) -> None:
    """Fragments depend on the backend and the secret, policies on the fragments."""
    references = [run.one("apimanagement:Backend"), run.one("apimanagement:NamedValue")]
    shared_fragments = run.of("apimanagement:PolicyFragment")
    policies = [*run.of("apimanagement:ApiPolicy"), *run.of("apimanagement:ApiOperationPolicy")]

    assert all(each.urn in fragment.dependencies for each in references for fragment in shared_fragments)
    assert all(each.urn in policy.dependencies for each in shared_fragments for policy in policies)


class PolicyMutation(NamedTuple):
    """A text of a policy file, its replacement, and the test that must fail."""

    file: str
    original: str
    replacement: str
    test: Callable[[MockRun], None]


MUTATIONS = (
    PolicyMutation("caller.xml", "validate-jwt", "check-jwt", test_operations_without_token_are_those_of_the_contract),
    PolicyMutation(
        "caller.xml",
        'require-signed-tokens="true"',
        'require-signed-tokens="false"',
        test_tokens_are_validated_by_the_services_discovery_document,
    ),
    PolicyMutation(
        "open.xml",
        "@(context.Request.IpAddress)",
        "@(context.Request.Headers.GetValueOrDefault(&quot;X&quot;, &quot;&quot;))",
        test_every_operation_has_a_rate_limit,
    ),
    PolicyMutation("open.xml", "<rate-limit-by-key", "<quota-by-key", test_statements_are_supported_by_the_tier),
    PolicyMutation("caller.xml", 'buffer-response="false"', 'buffer-response="true"', test_bodies_are_not_buffered),
    PolicyMutation("caller.xml", 'timeout="75"', 'timeout="30"', test_bodies_are_not_buffered),
    PolicyMutation(
        "to-service.xml",
        '"X-Client-Address" exists-action="override"',
        '"X-Client-Address" exists-action="skip"',
        test_address_and_secret_headers_come_from_the_gateway_alone,
    ),
    PolicyMutation(
        "to-service.xml",
        '<set-header name="X-Forwarded-For" exists-action="delete" />',
        "",
        test_address_and_secret_headers_come_from_the_gateway_alone,
    ),
    PolicyMutation(
        "to-service.xml",
        "<set-backend-service",
        "<set-some-service",
        test_every_operation_uses_the_services_backend,
    ),
    PolicyMutation(
        "instance.xml",
        "name != &quot;size&quot;",
        "name != &quot;person&quot;",
        test_instance_feed_accepts_only_after_and_size,
    ),
    PolicyMutation(
        "instance.xml", 'max-size="16384"', 'max-size="1638400"', test_instance_feed_accepts_only_after_and_size
    ),
    PolicyMutation("caller.xml", "2097152", "20971520", test_large_request_is_refused_before_token_validation),
    PolicyMutation("to-service.xml", '"Forwarded"', '"traceparent"', test_trace_context_is_forwarded_unchanged),
    PolicyMutation(
        "open.xml",
        "<outbound />",
        '<outbound><cache-store duration="60" /></outbound>',
        test_responses_are_never_cached,
    ),
    PolicyMutation(
        "caller.xml",
        "</inbound>",
        '<trace source="gateway"><message>x</message></trace></inbound>',
        test_telemetry_contains_no_personal_data,
    ),
    PolicyMutation(
        "open.xml", '<include-fragment fragment-id="problem" />', "", test_gateway_errors_are_problem_details
    ),
    PolicyMutation("open.xml", "<inbound>", "<inbound><base />", test_operation_policies_inherit_nothing),
    PolicyMutation(
        "caller.xml",
        "<inbound>",
        '<inbound><retry condition="true" count="3" interval="1" />',
        test_circuit_breaker_ignores_throttling_responses,
    ),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: f"{each.test.__name__}-{each.original}")
def test_gateway_test_fails_for_a_mutated_policy(prod: MockRun, mutation: PolicyMutation) -> None:
    """Each test detects a policy with a fault."""
    text = (INFRA / "gateway" / mutation.file).read_text()
    assert mutation.original in text
    mutant = with_mutated_policy(prod, mutation)

    with pytest.raises(AssertionError):
        mutation.test(mutant)


def with_mutated_policy(run: MockRun, mutation: PolicyMutation) -> MockRun:
    """Return the run with the mutation in every policy that comes from the file."""
    markers = {"caller.xml": "validate-jwt", "open.xml": 'calls="600"', "instance.xml": "validate-content"}
    marker = markers.get(mutation.file, "<fragment>")
    resources = [
        with_mutated_text(each, mutation) if marker in str(each.plain.get("value", "")) else each
        for each in run.resources
    ]
    return dataclasses.replace(run, resources=resources)


def with_mutated_text(resource: RegisteredResource, mutation: PolicyMutation) -> RegisteredResource:
    """Return the policy resource with the original text replaced."""
    text = str(resource.plain["value"]).replace(mutation.original, mutation.replacement)
    return dataclasses.replace(resource, inputs={**resource.inputs, "value": text})


def test_party_feed_is_served_with_and_without_trailing_slash(run: MockRun) -> None:
    """Existing clients add a slash at the end. Both paths require a token."""
    policies = {each.name: each.policy for each in operations(run)}

    assert policies["POST /events/api/v1/party"] is policies["POST /events/api/v1/party/"]


def test_missing_parameter_is_refused_by_the_service(run: MockRun) -> None:
    """Required parameters stay in the query: as parts of the path, the gateway would respond with 404."""
    assert "query" == run.one("apimanagement:Api").plain["translateRequiredQueryParametersConduct"]
