"""Azure's rules: the program keeps each one, and each one is violated by a planted fault."""

import re
from collections.abc import Iterator

import pytest

from tests.infra.mock_run import ROOT, MockRun
from tests.infra.mutant_project import Mutation
from tests.infra.rule_check import InputFault, run_violations, write_violations
from tests.infra.session_runs import SessionRuns
from tests.infra.simulation.rules import RULES
from tests.infra.simulation.stack_files import OPTIONS

API, NETWORK, SERVICE = (f"infra/components/{name}.py" for name in ("api", "network", "service"))
GATEWAY, OBSERVABILITY = "infra/components/gateway.py", "infra/components/observability.py"
ACCOUNT, CONTAINER = "cosmosdb:DatabaseAccount", "cosmosdb:SqlResourceSqlContainer"
APP, ENVIRONMENT = "app:ContainerApp", "app:ManagedEnvironment"
APIM, HOST_NAME = "apimanagement:ApiManagementService", "hostnameConfigurations.0"
MAIL = {"name": "operator", "emailAddress": "drift@example.no"}
TASK_RUN = """
        containerregistry.TaskRun(
            SYSTEM, resource_group_name=args.context.group.name, registry_name=registry.name, force_update_tag="1"
        )
"""


def region(name: str, priority: int) -> dict[str, object]:
    """Return a region of a Cosmos DB account."""
    return {"locationName": name, "failoverPriority": priority}


def host_name_fault(path: str, value: object) -> InputFault:
    """Return a fault in a production gateway with a custom domain."""
    return InputFault("prod", APIM, path, value, settings=OPTIONS)


# A change of the program's text, by which a run in production violates the rule.
PROGRAM_FAULTS = {
    "a policy fetches only what is ready": Mutation(
        "infra/gateway/caller.xml", 'openid-configuration" validate-connectivity="false"', 'openid-configuration"'
    ),
    "a task run fails after its build": Mutation(
        "infra/components/registry.py", "        grant = Grant(", f"{TASK_RUN}        grant = Grant("
    ),
    "a budget starts this month or later": Mutation(
        OBSERVABILITY, 'datetime.now(UTC).strftime("%Y-%m-01T00:00:00Z")', '"2026-01-01T00:00:00Z"'
    ),
    "one write at a time to one api": Mutation(
        API,
        "value=self._policy_text(operation.policy),\n                    opts=pulumi.ResourceOptions("
        "parent=self, depends_on=[*fragments, after]),",
        "value=self._policy_text(operation.policy),\n                    opts=pulumi.ResourceOptions("
        "parent=self, depends_on=fragments),",
    ),
    "replicas reach each other by any protocol": Mutation(NETWORK, 'ANY_PORT, "*"),', "ANY_PORT),"),
    "portals are closed": Mutation(GATEWAY, '            developer_portal_status="Disabled",\n', ""),
    "client certificates are a choice of consumption": Mutation(
        GATEWAY, "                transformations=[_without_client_certificate],\n", ""
    ),
    "names of private resources resolve": Mutation(NETWORK, ", depends_on=[self._zones[group_id].link]),", "),"),
    "errors are handled by listed statements": Mutation(
        "infra/gateway/problem.xml", "    <choose>\n", "    <set-body>x</set-body>\n    <choose>\n"
    ),
    "references of a policy are ready": Mutation(
        API, "opts=pulumi.ResourceOptions(parent=self, depends_on=after),", "opts=self._child_options,"
    ),
    "one write at a time to one network": Mutation(
        NETWORK,
        "self._create_subnet(GATEWAY, virtual_network, after=[endpoints])",
        "self._create_subnet(GATEWAY, virtual_network, after=[apps])",
    ),
    "statements exist in the tier": Mutation(GATEWAY, '("StandardV2", 2)', '("Consumption", 0)'),
    "a named value reads no private vault": Mutation(
        GATEWAY,
        "value=self._args.vault.gateway_secret,",
        "key_vault=apimanagement.KeyVaultContractCreatePropertiesArgs("
        'secret_identifier=self._args.vault.secrets["gateway"].url),',
    ),
    "an environment has a delegated subnet": Mutation(
        "infra/components/environment.py", "network.apps_subnet_id", "network.gateway_subnet_id"
    ),
    "peered networks are apart": Mutation(NETWORK, '"10.40", "10.41"', '"10.40", "10.40"'),
    "an app may pull its image": Mutation(SERVICE, ", depends_on=args.after, delete_before_replace=True", ""),
    "a gateway may read its certificate": Mutation(
        GATEWAY, "                depends_on=[domain] if domain else [],\n", ""
    ),
    "an app may read its secrets": Mutation(SERVICE, ", depends_on=args.after, delete_before_replace=True", ""),
}
# The faults of parts that are optional.
OPTIONAL = {"a gateway may read its certificate", "peered networks are apart"}
# An input of one resource.
INPUT_FAULTS = {
    "a new service is public": InputFault("prod", APIM, "publicNetworkAccess", "Disabled"),
    "tiers of version 2 have two kinds of network": InputFault(
        "prod", APIM, "virtualNetworkConfiguration.subnetResourceId", "/subscriptions/none"
    ),
    "a backend has one rule of its circuit breaker": InputFault(
        "dev", "apimanagement:Backend", "circuitBreaker.rules", [{"name": "one"}, {"name": "two"}]
    ),
    "a pool has single backends": InputFault(
        "prod", "apimanagement:Backend", "type", "Pool", "service", settings=OPTIONS
    ),
    "probes have a limit of failures": InputFault("dev", APP, "template.containers.0.probes.1.failureThreshold", 60),
    "memory is twice the cpu": InputFault("prod", APP, "template.containers.0.resources.memory", "1Gi"),
    "names of secrets are lower case": InputFault("dev", APP, "configuration.secrets.0.name", "Telemetry"),
    "references to secrets are declared": InputFault("dev", APP, "template.volumes.0.secrets.0.secretRef", "signing"),
    "weights add up to 100": InputFault("prod", APP, "configuration.ingress.traffic.0.weight", 90),
    "a new app has no other revision": InputFault(
        "dev", APP, "configuration.ingress.traffic.0", {"revisionName": "eventfeed--old", "weight": 100}
    ),
    "a cpu rule never scales to zero": InputFault("prod", APP, "template.scale.minReplicas", 0),
    "an http rule stands alone": InputFault(
        "dev", APP, "template.scale.rules", [{"name": "http", "http": {}}, {"name": "cpu", "custom": {"type": "cpu"}}]
    ),
    "zones need a subnet": InputFault("dev", ENVIRONMENT, "zoneRedundant", value=True),
    "a serverless account has no throughput": InputFault("dev", CONTAINER, "options", {"throughput": 400}, "commits"),
    "a serverless account has one region": InputFault(
        "dev", ACCOUNT, "enablePerRegionPerPartitionAutoscale", value=True
    ),
    "autoscale has steps of 1000": InputFault(
        "prod", CONTAINER, "options.autoscaleSettings.maxThroughput", 1500, "commits"
    ),
    "the kind of throughput is fixed": InputFault(
        "prod", CONTAINER, "options", {"throughput": 4000}, "commits", is_update=True
    ),
    "failover priorities are in order": InputFault("prod", ACCOUNT, "locations.0.failoverPriority", 1),
    "strong consistency has one writer": InputFault(
        "prod",
        ACCOUNT,
        "",
        {"consistencyPolicy": {"defaultConsistencyLevel": "Strong"}, "enableMultipleWriteLocations": True},
    ),
    "regions change alone": InputFault(
        "prod",
        ACCOUNT,
        "",
        {"locations": [region("norwayeast", 0), region("swedencentral", 1)], "tags": {}},
        is_update=True,
    ),
    "a replica is in another region": InputFault(
        "prod", "containerregistry:Replication", "location", "norwayeast", settings=OPTIONS
    ),
    "analytical storage is over": InputFault("prod", ACCOUNT, "enableAnalyticalStorage", value=True),
    "the backup tier changes alone": InputFault(
        "prod", ACCOUNT, "", {"backupPolicy": {"type": "Continuous"}, "tags": {}}, is_update=True
    ),
    "the root path is in one list": InputFault(
        "prod", CONTAINER, "resource.indexingPolicy.excludedPaths", [], "commits"
    ),
    "a composite index has several paths": InputFault(
        "dev", CONTAINER, "resource.indexingPolicy.compositeIndexes", [[{"path": "/time"}]], "commits"
    ),
    "a partition key has a version": InputFault(
        "dev", CONTAINER, "resource.partitionKey", {"kind": "Hash", "paths": ["/segment"]}, "commits"
    ),
    "a data role is never updated": InputFault(
        "prod", "cosmosdb:SqlResourceSqlRoleAssignment", "principalId", "other", is_update=True
    ),
    "protection against purges is for ever": InputFault(
        "dev", "keyvault:Vault", "properties.enablePurgeProtection", value=False
    ),
    "the retention of a vault is fixed": InputFault(
        "prod", "keyvault:Vault", "properties.softDeleteRetentionInDays", 7, is_update=True
    ),
    "a private registry is premium": InputFault("dev", "containerregistry:Registry", "publicNetworkAccess", "Disabled"),
    "the zones of a registry are fixed": InputFault(
        "prod", "containerregistry:Registry", "zoneRedundancy", "Disabled", is_update=True
    ),
    "subnets are resources of their own": InputFault("prod", "network:VirtualNetwork", "subnets", [{"name": "apps"}]),
    "subnets are apart": InputFault("prod", "network:Subnet", "addressPrefix", "10.40.0.128/25", "endpoints"),
    "priorities are unique": InputFault(
        "prod", "network:NetworkSecurityGroup", "securityRules.0.priority", 4096, "apps"
    ),
    "an endpoint has the group of its target": InputFault(
        "prod", "network:PrivateEndpoint", "privateLinkServiceConnections.0.groupIds", ["sql"], "store"
    ),
    "an endpoint has the zone of its group": InputFault(
        "prod", "network:PrivateDnsZoneGroup", "privateDnsZoneConfigs.0.privateDnsZoneId", "/zones/other", "vault"
    ),
    "a network has one zone of a name": InputFault(
        "prod", "privatedns:VirtualNetworkLink", "virtualNetworkLinkName", "second", "vault"
    ),
    "a type has its categories": InputFault(
        "dev", "monitor:DiagnosticSetting", "logs.0.category", "Everything", "vault"
    ),
    "a category goes to a workspace once": InputFault("dev", "monitor:DiagnosticSetting", "name", "second", "vault"),
    "a query has a listed window": InputFault("dev", "monitor:ScheduledQueryRule", "windowSize", "PT20M", "errors"),
    "a metric alert has a listed window": InputFault("prod", "monitor:MetricAlert", "windowSize", "PT10M", "restarts"),
    "a web test is linked to its component": InputFault("prod", "applicationinsights:WebTest", "tags", {}),
    "a short name has 12 characters": InputFault("dev", "monitor:ActionGroup", "emailReceivers", [MAIL, MAIL]),
    "a workspace keeps 30 to 730 days": InputFault("dev", "operationalinsights:Workspace", "retentionInDays", 7),
    "a budget has 5 notifications": InputFault("dev", "consumption:Budget", "notifications.spent.threshold", 1001),
    "managed certificates are of the classic tiers": host_name_fault(f"{HOST_NAME}.certificateSource", "Managed"),
    "a gateway has one host name": host_name_fault(
        "hostnameConfigurations", [{"hostName": "events.example.no"}, {"hostName": "other.example.no"}]
    ),
    "a host name points to its gateway": host_name_fault(f"{HOST_NAME}.hostName", "other.example.no"),
    "an identity of a host name is assigned": host_name_fault(f"{HOST_NAME}.identityClientId", "another"),
    "a certificate is in an open vault": host_name_fault(
        # The stack's own vault.
        f"{HOST_NAME}.keyVaultId",
        "https://eventfeed65a3cc17.vault.azure.net/secrets/gateway",
    ),
    "a certificate is renewed": host_name_fault(
        f"{HOST_NAME}.keyVaultId", "https://agency.vault.azure.net/secrets/events/5f1b"
    ),
    "a region exists": InputFault("dev", "keyvault:Vault", "location", "mars"),
    "zones need a region with zones": InputFault("prod", "containerregistry:Registry", "location", "norwaywest"),
    "tiers of version 2 have regions": InputFault("prod", APIM, "location", "uksouth"),
    "an assignment exists once": InputFault(
        "dev", "authorization:RoleAssignment", "roleAssignmentName", "00000000-0000-0000-0000-000000000000", "vault"
    ),
    "a lock has a level and a short note": InputFault(
        "prod", "authorization:ManagementLockByScope", "level", "ReadOnly", "vault"
    ),
}


def test_program_keeps_every_rule(any_run: MockRun) -> None:
    """Each write of each stack is valid when it happens, in every order that the run may take."""
    assert [] == list(run_violations(any_run))


def test_every_rule_has_one_planted_fault() -> None:
    """No rule is without a proof that it can be violated."""
    names = [rule.name for rule in RULES]

    assert sorted(names) == sorted([*PROGRAM_FAULTS, *INPUT_FAULTS])


@pytest.mark.parametrize("name", PROGRAM_FAULTS)
def test_fault_in_the_program_violates_its_rule(name: str, session_runs: SessionRuns) -> None:
    """A run of the mutant violates the rule."""
    settings = OPTIONS if name in OPTIONAL else None
    violations = list(run_violations(session_runs.get_mutant(PROGRAM_FAULTS[name], settings)))

    assert any(f"violates “{name}”" in each for each in violations)


@pytest.mark.parametrize("name", INPUT_FAULTS)
def test_fault_in_an_input_violates_its_rule(name: str, session_runs: SessionRuns) -> None:
    """A write with the value violates the rule, and the write of the program does not."""
    fault = INPUT_FAULTS[name]
    violations = write_violations(session_runs.get(fault.stack, fault.settings), fault)

    assert any(f"violates “{name}”" in each for each in violations)


def test_every_rule_names_a_source_and_a_requirement() -> None:
    """A reader can check what Azure requires."""
    for rule in RULES:
        assert rule.source.startswith(("https://github.com/", "https://learn.microsoft.com/"))
        assert rule.statement.endswith(".")


def documented_rules() -> Iterator[tuple[str, str]]:
    """Yield the requirement and the source of each rule in the table of docs/deploy.md."""
    page = (ROOT / "docs" / "deploy.md").read_text()
    yield from re.findall(r"^\| (.+) \| <(https://[^>]+)> \|$", page, re.MULTILINE)


def test_documentation_lists_every_rule() -> None:
    """The table of docs/deploy.md has the rules of the simulation, in their order."""
    assert [(rule.statement, rule.source) for rule in RULES] == list(documented_rules())
