"""What the gateway's policies do, judged by their parsed XML as it is sent, and what it tells of those who pass."""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from tests.infra.recording import INFRA, Recorded, Recording, record

# Contract section 9: open to everyone, by method and path.
OPEN = {
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
ANONYMOUS = "instanceeventsforinstance"
# Which tiers know a policy: https://learn.microsoft.com/azure/api-management/api-management-policies
LACKING = {
    "Consumption": {"rate-limit-by-key", "quota-by-key", "cache-lookup", "cache-store"},
    "BasicV2": {"quota-by-key", "set-backend-service-fabric"},
    "StandardV2": {"quota-by-key", "set-backend-service-fabric"},
}
ADDRESS = "@(context.Request.IpAddress)"


class Route(NamedTuple):
    """An operation of the document: its method and path, and the policy that counts for it."""

    path: str
    policy: ET.Element


def parsed(text: str) -> ET.Element:
    """A policy as the gateway reads it."""
    return ET.fromstring(text)  # noqa: S314  # our own


def routes(recording: Recording) -> Iterator[Route]:
    """Every operation that the gateway serves, with its own policy or, without one, everyone's."""
    document = json.loads(recording.one("apimanagement:Api").plain["value"])
    everyones = parsed(recording.one("apimanagement:ApiPolicy").plain["value"])
    own = {each.plain["operationId"]: each.plain["value"] for each in recording.of("apimanagement:ApiOperationPolicy")}
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            text = own.pop(described["operationId"].lower(), None)
            yield Route(f"{method.upper()} {path}", everyones if text is None else parsed(text))
    assert {} == own


def fragments(recording: Recording) -> Mapping[str, ET.Element]:
    """What policies have in common, by name."""
    return {each.name: parsed(each.plain["value"]) for each in recording.of("apimanagement:PolicyFragment")}


def steps(recording: Recording, policy: ET.Element, section: str) -> list[ET.Element]:
    """What a section does, in order, with its fragments' steps in their place."""
    found = policy.find(section)
    assert found is not None
    known = fragments(recording)
    return [
        step
        for each in found
        for step in (known[str(each.get("fragment-id"))] if each.tag == "include-fragment" else [each])
    ]


def names(recording: Recording, policy: ET.Element, section: str = "inbound") -> list[str]:
    """The kinds of steps of a section, in order."""
    return [each.tag for each in steps(recording, policy, section)]


def test_only_what_the_contract_lists_is_open(recording: Recording) -> None:
    """Everything else asks for a token; a route that somebody adds does too, for nobody has to remember it."""
    unvalidated = {route.path for route in routes(recording) if "validate-jwt" not in names(recording, route.policy)}
    everyones = parsed(recording.one("apimanagement:ApiPolicy").plain["value"])

    assert OPEN == unvalidated
    assert "validate-jwt" in names(recording, everyones)


def test_tokens_are_the_platforms_own(recording: Recording) -> None:
    """By its discovery document, under the address that the service gives as its own; signed, and not for ever."""
    url = recording.outputs["url"]
    (check,) = steps_of(recording, "validate-jwt")
    configuration, issuer = check.find("openid-config"), check.find("issuers/issuer")
    env = {each["name"]: each.get("value") for each in container_env(recording)}
    assert configuration is not None
    assert issuer is not None

    assert env["EVENTFEED_PUBLIC_URL"] == url
    assert f"{url}/authentication/api/v1/openid/.well-known/openid-configuration" == configuration.get("url")
    assert f"{url}/authentication/api/v1/openid/" == issuer.text
    wanted = {"header-name": "Authorization", "require-scheme": "Bearer", "failed-validation-httpcode": "401"}
    wanted |= {"require-expiration-time": "true", "require-signed-tokens": "true"}
    assert wanted.items() <= check.attrib.items()


def steps_of(recording: Recording, kind: str) -> list[ET.Element]:
    """Every different step of a kind, over all policies."""
    found = {
        ET.tostring(each): each
        for route in routes(recording)
        for section in ("inbound", "backend", "outbound", "on-error")
        for step in steps(recording, route.policy, section)
        for each in step.iter(kind)
    }
    return list(found.values())


def container_env(recording: Recording) -> list[dict[str, str]]:
    """What the service is told."""
    (container,) = recording.one("app:ContainerApp").plain["template"]["containers"]
    found = container["env"]
    assert isinstance(found, list)
    return found


def test_nobody_asks_without_limit(recording: Recording) -> None:
    """A caller by its organisation or person, once its token is believed; whoever needs no token by address."""
    for route in routes(recording):
        order = names(recording, route.policy)
        (limit,) = [each for each in steps(recording, route.policy, "inbound") if each.tag == "rate-limit-by-key"]
        key = limit.get("counter-key", "")

        if "validate-jwt" in order:
            assert order.index("validate-jwt") < order.index("rate-limit-by-key")
            assert re.search(r"urn:altinn:orgNumber.*urn:altinn:userid", key)
        else:
            assert ADDRESS == key
        assert int(limit.get("calls", "0")) > 0
        assert "60" == limit.get("renewal-period")


def test_limits_stand_only_in_tiers_that_have_them(recording: Recording) -> None:
    """Of what the policies do, nothing is unknown to the tier."""
    tier = recording.one("apimanagement:ApiManagementService").plain["sku"]["name"]
    used = {
        each.tag
        for route in routes(recording)
        for section in ("inbound", "backend", "outbound", "on-error")
        for step in steps(recording, route.policy, section)
        for each in step.iter()
    }

    assert set() == used & LACKING[tier]
    assert "rate-limit-by-key" in used


def test_streams_are_not_held_back(recording: Recording) -> None:
    """Neither bodies coming nor answers going are gathered first, and the longest wait of a poll is waited for."""
    for route in routes(recording):
        (forward,) = steps(recording, route.policy, "backend")
        waits = route.path not in OPEN or ANONYMOUS in route.path

        assert "forward-request" == forward.tag
        assert {"buffer-response": "false", "buffer-request-body": "false"}.items() <= forward.attrib.items()
        assert int(forward.get("timeout", "0")) > 60 or not waits
        assert not {"set-body", "find-and-replace", "json-to-xml", "cache-store"} & set(
            names(recording, route.policy, "outbound")
        )


def test_only_the_gateway_says_where_a_caller_is(recording: Recording) -> None:
    """What the caller says of it is overwritten or taken away, on every route, and so is the gateway's secret."""
    told = {each["name"]: each.get("value") for each in container_env(recording)}["EVENTFEED_CLIENT_ADDRESS_HEADER"]
    for route in routes(recording):
        headers = {
            each.get("name"): (each.get("exists-action"), [value.text for value in each])
            for each in steps(recording, route.policy, "inbound")
            if each.tag == "set-header"
        }

        assert ("override", [ADDRESS]) == headers[told]
        assert ("override", ["{{gateway-secret}}"]) == headers["X-Gateway-Secret"]
        assert [("delete", [])] * 2 == [headers.get("X-Forwarded-For"), headers.get("Forwarded")]


def test_every_route_leads_to_the_one_backend(recording: Recording) -> None:
    """The service, under its own name, over TLS that is checked."""
    backend = recording.one("apimanagement:Backend").plain

    assert {"service"} == {each.get("backend-id") for each in steps_of(recording, "set-backend-service")}
    assert all("set-backend-service" in names(recording, route.policy) for route in routes(recording))
    assert "service" == backend["backendId"]
    assert backend["url"].startswith(f"https://{recording.one('app:ContainerApp').id.rpartition('/')[2]}.")
    assert {"validateCertificateChain": True, "validateCertificateName": True} == backend["tls"]


def test_a_failing_service_is_left_alone_and_a_full_one_is_not(recording: Recording) -> None:
    """503 is an answer of its own, with the time to come back; nothing is repeated in a caller's name."""
    (rule,) = recording.one("apimanagement:Backend").plain["circuitBreaker"]["rules"]
    ranges = [range(each["min"], each["max"] + 1) for each in rule["failureCondition"]["statusCodeRanges"]]

    assert any(502 in each for each in ranges)
    assert not any(status in each for each in ranges for status in (429, 503))
    assert [] == steps_of(recording, "retry")


def anonymous(recording: Recording) -> list[ET.Element]:
    """The policies of the routes that anybody may ask."""
    return [route.policy for route in routes(recording) if ANONYMOUS in route.path]


def test_the_open_feed_takes_after_and_size_and_little_else(recording: Recording) -> None:
    """Any other word in the query is refused, a body over 16 KiB too, and a token goes no further."""
    for policy in anonymous(recording):
        (choice,) = [each for each in steps(recording, policy, "inbound") if each.tag == "choose"]
        (when,) = choice.findall("when")
        (content,) = [each for each in steps(recording, policy, "inbound") if each.tag == "validate-content"]
        order = names(recording, policy)

        words = set(re.findall(r'name != "(\w+)"', when.get("condition", "")))
        assert {"after", "size"} == words
        assert "context.Request.Url.Query.Keys.Any" in when.get("condition", "")
        assert "400" == when.find("return-response/set-status").get("code")  # type: ignore[union-attr]  # it is there
        assert ("16384", "prevent") == (content.get("max-size"), content.get("size-exceeded-action"))
        assert order.index("rate-limit-by-key") < order.index("choose") < order.index("set-backend-service")
    assert 4 == len(anonymous(recording))


def test_large_requests_are_turned_away(recording: Recording) -> None:
    """Before a token is looked at."""
    everyones = parsed(recording.one("apimanagement:ApiPolicy").plain["value"])
    inbound = steps(recording, everyones, "inbound")
    (choice,) = [each for each in inbound if each.tag == "choose"]
    condition = str(choice[0].get("condition"))

    assert "Content-Length" in condition
    assert condition.endswith("> 2097152)")
    assert "413" == choice[0].find("return-response/set-status").get("code")  # type: ignore[union-attr]  # it is there


def test_pages_may_call_only_where_they_are_listed() -> None:
    """From those origins and no other, without credentials of the browser's; from none when none is listed."""
    listed = record("dev", {"corsOrigins": "https://a.example.no https://b.example.no"})
    for route in routes(listed):
        (cors,) = [each for each in steps(listed, route.policy, "inbound") if each.tag == "cors"]

        assert ["https://a.example.no", "https://b.example.no"] == [each.text for each in cors.iter("origin")]
        assert "false" == cors.get("allow-credentials")
        assert {"*"}.isdisjoint(each.text for each in cors.iter())


def test_no_page_may_call_when_none_is_listed(recording: Recording) -> None:
    """As it is in the files of both stacks."""
    assert [] == steps_of(recording, "cors")


def test_a_trace_goes_on(recording: Recording) -> None:
    """The caller's `traceparent` is passed on as it came."""
    touched = {str(each.get("name")).lower() for each in steps_of(recording, "set-header")}

    assert not {"traceparent", "tracestate"} & touched
    assert "W3C" == recording.one("apimanagement:ApiDiagnostic").plain["httpCorrelationProtocol"]


def test_nothing_is_kept_that_is_somebodys(recording: Recording) -> None:
    """Nothing is cached at all."""
    kinds = ("cache-store", "cache-lookup", "cache-store-value", "cache-lookup-value")

    assert [] == [each for kind in kinds for each in steps_of(recording, kind)]


def test_nothing_personal_is_logged(recording: Recording) -> None:
    """No bodies, no headers, no addresses, and no query that tells whose events are asked for."""
    telemetry = recording.one("apimanagement:ApiDiagnostic").plain
    sides = [telemetry[way][side] for way in ("frontend", "backend") for side in ("request", "response")]
    told = [step for kind in ("trace", "log-to-eventhub", "emit-metric") for step in steps_of(recording, kind)]

    assert not telemetry["logClientIp"]
    assert "verbose" != telemetry["verbosity"]
    for side in sides:
        assert (0, []) == (side["body"]["bytes"], side["headers"])
        hidden = {each["value"] for each in side["dataMasking"]["queryParams"] if each["mode"] == "Hide"}
        assert {"party", "unit", "person"} <= hidden
    assert [] == told


def test_the_gateway_answers_in_the_services_own_words(recording: Recording) -> None:
    """What it refuses itself is a problem (RFC 9457) as well, on every route."""
    types = {each.text for each in fragments(recording)["problem"].iter("value")}

    for route in routes(recording):
        assert "set-body" in names(recording, route.policy, "on-error")
    assert "application/problem+json" in types


def test_an_operations_policy_stands_for_itself(recording: Recording) -> None:
    """Only what everyone has takes over what stands above; an open route takes over nothing."""
    everyones = parsed(recording.one("apimanagement:ApiPolicy").plain["value"])
    own = [parsed(each.plain["value"]) for each in recording.of("apimanagement:ApiOperationPolicy")]

    assert "base" in [each.tag for each in everyones.iter()]
    assert [] == [each for policy in own for each in policy.iter("base")]


def test_policies_wait_for_what_they_name(recording: Recording) -> None:
    """Fragments for the backend and the secret, policies for the fragments."""
    made = [recording.one("apimanagement:Backend"), recording.one("apimanagement:NamedValue")]
    shared = recording.of("apimanagement:PolicyFragment")
    policies = [*recording.of("apimanagement:ApiPolicy"), *recording.of("apimanagement:ApiOperationPolicy")]

    assert all(each.urn in fragment.dependencies for each in made for fragment in shared)
    assert all(each.urn in policy.dependencies for each in shared for policy in policies)


PLANTED: list[tuple[str, str, str, Callable[[Recording], None]]] = [
    (
        "caller.xml",
        "validate-jwt",
        "check-jwt",
        test_only_what_the_contract_lists_is_open,
    ),
    ("caller.xml", 'require-signed-tokens="true"', 'require-signed-tokens="false"', test_tokens_are_the_platforms_own),
    (
        "open.xml",
        "@(context.Request.IpAddress)",
        "@(context.Request.Headers.GetValueOrDefault(&quot;X&quot;, &quot;&quot;))",
        test_nobody_asks_without_limit,
    ),
    ("open.xml", "<rate-limit-by-key", "<quota-by-key", test_limits_stand_only_in_tiers_that_have_them),
    ("caller.xml", 'buffer-response="false"', 'buffer-response="true"', test_streams_are_not_held_back),
    ("caller.xml", 'timeout="75"', 'timeout="30"', test_streams_are_not_held_back),
    (
        "to-service.xml",
        '"X-Client-Address" exists-action="override"',
        '"X-Client-Address" exists-action="skip"',
        test_only_the_gateway_says_where_a_caller_is,
    ),
    (
        "to-service.xml",
        '<set-header name="X-Forwarded-For" exists-action="delete" />',
        "",
        test_only_the_gateway_says_where_a_caller_is,
    ),
    ("to-service.xml", "<set-backend-service", "<set-some-service", test_every_route_leads_to_the_one_backend),
    (
        "instance.xml",
        "name != &quot;size&quot;",
        "name != &quot;person&quot;",
        test_the_open_feed_takes_after_and_size_and_little_else,
    ),
    ("instance.xml", 'max-size="16384"', 'max-size="1638400"', test_the_open_feed_takes_after_and_size_and_little_else),
    ("caller.xml", "2097152", "20971520", test_large_requests_are_turned_away),
    ("to-service.xml", '"Forwarded"', '"traceparent"', test_a_trace_goes_on),
    (
        "open.xml",
        "<outbound />",
        '<outbound><cache-store duration="60" /></outbound>',
        test_nothing_is_kept_that_is_somebodys,
    ),
    (
        "caller.xml",
        "</inbound>",
        '<trace source="gateway"><message>x</message></trace></inbound>',
        test_nothing_personal_is_logged,
    ),
    ("open.xml", '<include-fragment fragment-id="problem" />', "", test_the_gateway_answers_in_the_services_own_words),
    ("open.xml", "<inbound>", "<inbound><base />", test_an_operations_policy_stands_for_itself),
    (
        "caller.xml",
        "<inbound>",
        '<inbound><retry condition="true" count="3" interval="1" />',
        test_a_failing_service_is_left_alone_and_a_full_one_is_not,
    ),
]


@pytest.mark.parametrize(("file", "right", "wrong", "rule"), PLANTED, ids=lambda each: getattr(each, "__name__", ""))
def test_a_planted_fault_is_noticed(
    prod: Recording, file: str, right: str, wrong: str, rule: Callable[[Recording], None]
) -> None:
    """Each rule fails on a policy that breaks it."""
    text = (INFRA / "gateway" / file).read_text()
    assert right in text
    faulty = with_policy(prod, file, right=right, wrong=wrong)

    with pytest.raises(AssertionError):
        rule(faulty)


def with_policy(recording: Recording, file: str, *, right: str, wrong: str) -> Recording:
    """A run whose policies were made of a file with a fault in it."""
    marks = {"caller.xml": "validate-jwt", "open.xml": 'calls="600"', "instance.xml": "validate-content"}
    mark = marks.get(file, "<fragment>")
    resources = [
        replaced(each, right, wrong=wrong) if mark in str(each.plain.get("value", "")) else each
        for each in recording.resources
    ]
    return dataclasses.replace(recording, resources=resources)


def replaced(resource: Recorded, right: str, *, wrong: str) -> Recorded:
    """A policy with one text in the place of another."""
    text = str(resource.plain["value"]).replace(right, wrong)
    return dataclasses.replace(resource, inputs={**resource.inputs, "value": text})


def test_each_spelling_of_a_partys_feed_is_served(recording: Recording) -> None:
    """With a slash at its end, as the contract and existing clients write it, and without; both ask for a token."""
    policies = {route.path: route.policy for route in routes(recording)}

    assert policies["POST /events/api/v1/party"] is policies["POST /events/api/v1/party/"]


def test_a_parameter_that_is_forgotten_is_the_services_to_refuse(recording: Recording) -> None:
    """None becomes a part of a path, which the gateway would answer with 404."""
    assert "query" == recording.one("apimanagement:Api").plain["translateRequiredQueryParametersConduct"]
