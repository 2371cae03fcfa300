"""The rules of the policy pack: the resources of both stacks keep each one, and each finds a planted fault.

The pack itself runs on Pulumi's own engine (tests/infra/pulumi_engine/test_policy_pack.py).
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from policy.rule import Resource, Rule
from policy.rules import RULES
from tests.infra.mock_run import AZURE, MockRun

Inputs = dict[str, Any]


class Fault(NamedTuple):
    """A rule, the type of a resource of production, and a change of its inputs that breaks the rule."""

    rule: str
    token: str
    change: Callable[[Inputs], object]
    # Without protection.
    protect: bool = True


STORE, VAULT, APP = "cosmosdb:DatabaseAccount", "keyvault:Vault", "app:ContainerApp"
FAULTS = (
    Fault("store-accepts-no-key", STORE, lambda inputs: inputs.update(disableLocalAuth=False)),
    Fault("store-accepts-no-key", STORE, lambda inputs: inputs.pop("disableKeyBasedMetadataWriteAccess")),
    Fault("store-requires-tls", STORE, lambda inputs: inputs.update(minimalTlsVersion="Tls11")),
    Fault("store-has-continuous-backups", STORE, lambda inputs: inputs.pop("backupPolicy")),
    Fault("store-has-one-writer", STORE, lambda inputs: inputs.update(enableMultipleWriteLocations=True)),
    Fault(
        "production-store-is-private-and-protected", STORE, lambda inputs: inputs.update(publicNetworkAccess="Enabled")
    ),
    Fault("production-store-is-private-and-protected", STORE, lambda _: None, protect=False),
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
    Fault("production-vault-is-private-and-protected", VAULT, lambda _: None, protect=False),
    Fault(
        "registry-accepts-no-password",
        "containerregistry:Registry",
        lambda inputs: inputs.update(anonymousPullEnabled=True),
    ),
    Fault(
        "registry-accepts-no-password",
        "containerregistry:Registry",
        lambda inputs: inputs.update(publicNetworkAccess="Enabled"),
    ),
    Fault(
        "workspace-accepts-no-key",
        "operationalinsights:Workspace",
        lambda inputs: inputs["features"].update(disableLocalAuth=False),
    ),
    Fault(
        "environment-in-a-network-is-internal",
        "app:ManagedEnvironment",
        lambda inputs: inputs["vnetConfiguration"].update(internal=False),
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
        "network:NetworkSecurityGroup",
        lambda inputs: inputs["securityRules"][0].update(sourceAddressPrefix="Internet", access="Allow"),
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


def resources_of(run: MockRun) -> Iterator[Resource]:
    """Yield the resources of a run as the rules see them."""
    for each in run.azure:
        yield Resource(type=each.token.removeprefix(AZURE), inputs=each.plain, protect=each.protect)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_holds_for_every_resource(run: MockRun, rule: Rule) -> None:
    """Both stacks keep it."""
    assert [] == [violation for each in resources_of(run) for violation in rule.violations(each)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.rule)
def test_rule_finds_a_planted_fault(prod: MockRun, fault: Fault) -> None:
    """It alone finds the fault, and says which input is wrong."""
    resource = next(each for each in resources_of(prod) if each.type == fault.token)
    inputs = copy.deepcopy(dict(resource.inputs))
    fault.change(inputs)
    faulty = Resource(type=resource.type, inputs=inputs, protect=resource.protect and fault.protect)

    assert {fault.rule} == {rule.name for rule in RULES for _ in rule.violations(faulty)}


def test_every_rule_has_a_planted_fault_and_a_type_of_the_program(prod: MockRun) -> None:
    """A rule for a type that the program does not use would guard nothing."""
    types = {each.type for each in resources_of(prod)}

    assert {each.name for each in RULES} == {each.rule for each in FAULTS}
    assert all(rule.types <= types for rule in RULES)
