"""The rules of the policy pack: the resources of both stacks keep each one, and each finds a planted fault.

The pack itself runs on Pulumi's own engine (tests/infra/pulumi_engine/test_policy_pack.py).
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from policy.rule import Resource, Rule
from policy.rules import RULES
from policy.stack_file import is_production, stack_of
from tests.infra.mock_run import AZURE, MockRun

Inputs = dict[str, Any]


class Fault(NamedTuple):
    """A rule, the type of a resource of production, and a change of its inputs that breaks the rule."""

    rule: str
    token: str
    change: Callable[[Inputs], object]
    # False removes the protection.
    protect: bool = True


STORE, VAULT, APP = "cosmosdb:DatabaseAccount", "keyvault:Vault", "app:ContainerApp"
REGISTRY, ENVIRONMENT = "containerregistry:Registry", "app:ManagedEnvironment"
SECURITY_GROUP, SECURITY_RULE = "network:NetworkSecurityGroup", "network:SecurityRule"
SECOND_LOCATION = {"locationName": "swedencentral", "failoverPriority": 1}
FAULTS = (
    Fault("store-accepts-no-key", STORE, lambda inputs: inputs.update(disableLocalAuth=False)),
    Fault("store-accepts-no-key", STORE, lambda inputs: inputs.pop("disableKeyBasedMetadataWriteAccess")),
    Fault("store-requires-tls", STORE, lambda inputs: inputs.update(minimalTlsVersion="Tls11")),
    Fault("store-has-continuous-backups", STORE, lambda inputs: inputs.pop("backupPolicy")),
    Fault("store-has-one-writer", STORE, lambda inputs: inputs.update(enableMultipleWriteLocations=True)),
    Fault("store-of-regions-loses-no-event", STORE, lambda inputs: inputs["locations"].append(SECOND_LOCATION)),
    Fault(
        "store-of-regions-loses-no-event",
        STORE,
        lambda inputs: inputs["locations"].append(SECOND_LOCATION) or inputs.update(enableAutomaticFailover=True),
    ),
    Fault(
        "store-of-regions-loses-no-event",
        STORE,
        lambda inputs: (
            inputs["locations"].append(SECOND_LOCATION)
            or inputs.update(consistencyPolicy={"defaultConsistencyLevel": "Strong"})
        ),
    ),
    Fault(
        "production-store-is-private-and-protected", STORE, lambda inputs: inputs.update(publicNetworkAccess="Enabled")
    ),
    Fault(
        "production-store-is-private-and-protected",
        STORE,
        lambda inputs: inputs.update(capabilities=[{"name": "EnableServerless"}]),
    ),
    Fault("production-store-is-private-and-protected", STORE, lambda _: None, protect=False),
    Fault("production-data-is-protected", "cosmosdb:SqlResourceSqlDatabase", lambda _: None, protect=False),
    Fault("production-data-is-protected", "cosmosdb:SqlResourceSqlContainer", lambda _: None, protect=False),
    Fault(
        "partition-key-has-a-version",
        "cosmosdb:SqlResourceSqlContainer",
        lambda inputs: inputs["resource"]["partitionKey"].pop("version"),
    ),
    Fault(
        "vault-keeps-what-was-deleted", VAULT, lambda inputs: inputs["properties"].update(enablePurgeProtection=False)
    ),
    Fault(
        "production-vault-is-private-and-protected",
        VAULT,
        lambda inputs: inputs["properties"].update(publicNetworkAccess="Enabled"),
    ),
    Fault(
        "production-vault-is-private-and-protected",
        VAULT,
        lambda inputs: inputs["properties"]["networkAcls"].update(defaultAction="Allow"),
    ),
    Fault(
        "production-vault-is-private-and-protected",
        VAULT,
        lambda inputs: inputs["properties"].update(softDeleteRetentionInDays=7),
    ),
    Fault("production-vault-is-private-and-protected", VAULT, lambda inputs: inputs["properties"].pop("networkAcls")),
    Fault("production-vault-is-private-and-protected", VAULT, lambda _: None, protect=False),
    Fault("registry-accepts-no-password", REGISTRY, lambda inputs: inputs.update(anonymousPullEnabled=True)),
    Fault("registry-accepts-no-password", REGISTRY, lambda inputs: inputs.update(adminUserEnabled=True)),
    Fault("production-registry-is-private", REGISTRY, lambda inputs: inputs.update(publicNetworkAccess="Enabled")),
    Fault("production-registry-is-private", REGISTRY, lambda inputs: inputs.update(sku={"name": "Standard"})),
    Fault(
        "workspace-accepts-no-key",
        "operationalinsights:Workspace",
        lambda inputs: inputs["features"].update(disableLocalAuth=False),
    ),
    Fault(
        "production-environment-is-internal",
        ENVIRONMENT,
        lambda inputs: inputs["vnetConfiguration"].update(internal=False),
    ),
    Fault("production-environment-is-internal", ENVIRONMENT, lambda inputs: inputs.pop("vnetConfiguration")),
    Fault(
        "production-environment-is-internal", ENVIRONMENT, lambda inputs: inputs.update(publicNetworkAccess="Enabled")
    ),
    Fault("app-is-probed", APP, lambda inputs: inputs["template"]["containers"][0]["probes"].pop()),
    Fault("app-refuses-plain-http", APP, lambda inputs: inputs["configuration"]["ingress"].update(allowInsecure=True)),
    Fault(
        "app-reads-secrets-from-the-vault",
        APP,
        lambda inputs: inputs["configuration"]["secrets"].append({"name": "word", "value": "in clear"}),
    ),
    Fault(
        "subnets-are-closed-to-the-internet",
        SECURITY_GROUP,
        lambda inputs: inputs["securityRules"][0].update(sourceAddressPrefix="Internet", access="Allow"),
    ),
    Fault(
        "subnets-are-closed-to-the-internet",
        SECURITY_GROUP,
        lambda inputs: inputs["securityRules"][0].update(sourceAddressPrefixes=["10.40.0.0/24", "0.0.0.0/1"]),
    ),
    Fault(
        "role-is-one-of-a-workload", "authorization:RoleAssignment", lambda inputs: inputs.update(principalType="User")
    ),
    Fault(
        "role-is-one-of-a-workload",
        "authorization:RoleAssignment",
        lambda inputs: inputs.update(roleDefinitionId="…/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c"),
    ),
    Fault(
        "lock-prevents-deletion", "authorization:ManagementLockByScope", lambda inputs: inputs.update(level="ReadOnly")
    ),
    Fault("resource-has-its-tags", "resources:ResourceGroup", lambda inputs: inputs["tags"].pop("managed-by")),
)


def resources_of(run: MockRun, *, production: bool) -> Iterator[Resource]:
    """Yield the resources of a run as the rules see them."""
    for each in run.azure:
        token = each.token.removeprefix(AZURE)
        yield Resource(type=token, inputs=each.plain, protect=each.protect, production=production)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_holds_for_every_resource(dev: MockRun, prod: MockRun, options: MockRun, rule: Rule) -> None:
    """Both stacks keep it, and so does production with every optional part."""
    productive = [each for run in (prod, options) for each in resources_of(run, production=True)]

    assert [] == [
        violation for each in [*resources_of(dev, production=False), *productive] for violation in rule.violations(each)
    ]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.rule)
def test_rule_finds_a_planted_fault(prod: MockRun, fault: Fault) -> None:
    """It alone finds the fault, and says which input is wrong."""
    resource = next(each for each in resources_of(prod, production=True) if each.type == fault.token)
    inputs = copy.deepcopy(dict(resource.inputs))
    fault.change(inputs)
    faulty = dataclasses.replace(resource, inputs=inputs, protect=resource.protect and fault.protect)

    assert {fault.rule} == {rule.name for rule in RULES for _ in rule.violations(faulty)}


def test_resources_of_development_are_faults_in_production(dev: MockRun) -> None:
    """The stack's configuration alone decides that a rule of production applies: every such rule finds a fault."""
    resources = list(resources_of(dev, production=True))
    names = {rule.name for rule in RULES for each in resources if any(rule.violations(each))}

    assert {rule.name for rule in RULES if rule.name.startswith("production-")} == names


@pytest.mark.parametrize(
    ("settings", "production"),
    [
        ('config:\n  eventfeed:production: "false"\n', False),
        ("config:\n  eventfeed:production: false\n", False),
        ('config:\n  eventfeed:production: "true"\n', True),
        ("config:\n  eventfeed:budget: 10\n", True),
        ("", True),
        (None, True),
    ],
)
def test_stack_is_production_unless_its_file_denies_it(
    tmp_path: Path, settings: str | None, *, production: bool
) -> None:
    """The stack is that of the resource's URN. A stack without a file keeps every rule."""
    if settings is not None:
        (tmp_path / "Pulumi.one.yaml").write_text(settings)
    stack = stack_of("urn:pulumi:one::eventfeed::azure-native:keyvault:Vault::eventfeed")

    assert production == is_production(stack, tmp_path)


@pytest.mark.parametrize(
    ("inputs", "is_open"),
    [
        ({"sourceAddressPrefix": "*"}, True),
        ({"sourceAddressPrefix": "INTERNET"}, True),
        ({"sourceAddressPrefix": "0.0.0.0/0"}, True),
        ({"sourceAddressPrefix": "::/0"}, True),
        ({"sourceAddressPrefix": "203.0.113.7"}, True),
        ({"sourceAddressPrefix": "AzureCloud"}, True),
        ({"sourceAddressPrefix": "10.0.0.0/7"}, True),
        ({"sourceAddressPrefixes": ["10.0.0.0/16", "Internet"]}, True),
        ({"sourceAddressPrefix": "*", "access": "Deny"}, False),
        ({"sourceAddressPrefix": "*", "direction": "Outbound"}, False),
        ({"sourceAddressPrefix": "AzureLoadBalancer"}, False),
        ({"sourceAddressPrefixes": ["10.40.0.0/24", "fd00::/8"]}, False),
    ],
)
def test_security_rule_of_its_own_is_checked_as_one_of_a_group(inputs: Inputs, *, is_open: bool) -> None:
    """Azure applies both. A source is one range or tag, or a list of them."""
    resource_inputs = {"securityRuleName": "one", "direction": "Inbound", "access": "Allow", **inputs}
    resource = Resource(type=SECURITY_RULE, inputs=resource_inputs, protect=False, production=True)

    assert is_open == any(True for rule in RULES for _ in rule.violations(resource))


def test_every_rule_has_a_planted_fault_and_a_type_of_the_program(prod: MockRun) -> None:
    """A rule for types that the program does not use would guard nothing. One rule also guards a type of others."""
    types = {each.type for each in resources_of(prod, production=True)}

    assert {each.name for each in RULES} == {each.rule for each in FAULTS}
    assert {SECURITY_RULE} == {each for rule in RULES for each in rule.types} - types
    assert all(rule.types & types for rule in RULES)
