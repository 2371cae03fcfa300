"""The Azure resource types that the program may use: where each is in Azure's tree of names.

A type's address is its scope, its provider, and each of its segments with a name. The names are inputs of the
resource; the last one is made up from the logical name when it is not given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SUBSCRIPTION = "/subscriptions/00000000-0000-4000-8000-000000000001"
TENANT = "00000000-0000-4000-8000-000000000002"


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type: its name in Azure, the inputs that name it, and whether its last name is its alone anywhere."""

    arm: str
    names: tuple[str, ...]
    scope: str = "resourceGroupName"
    worldwide: bool = False

    @property
    def address_inputs(self) -> tuple[str, ...]:
        """The inputs that say which resource it is: one with another value is another resource."""
        return (self.scope, *self.names) if self.scope else self.names

    def address(self, inputs: Mapping[str, Any]) -> str:
        """The resource's id."""
        if self.arm == "Microsoft.Resources/resourceGroups":
            return f"{SUBSCRIPTION}/resourceGroups/{inputs['resourceGroupName']}"
        provider, *segments = self.arm.split("/")
        within = str(inputs[self.scope])
        if self.scope == "resourceGroupName":
            within = f"{SUBSCRIPTION}/resourceGroups/{within}"
        path = "/".join(f"{segment}/{inputs[name]}" for segment, name in zip(segments, self.names, strict=True))
        return f"{within.rstrip('/')}/providers/{provider}/{path}"


def parent(address: str) -> str:
    """The id of the resource, group or subscription that this one is in or on."""
    scope, _, path = address.rpartition("/providers/")
    nested = path.count("/") > 2 or not scope
    return address.rsplit("/", 2)[0] if nested else scope


_APIM = "Microsoft.ApiManagement/service"
_COSMOS = "Microsoft.DocumentDB/databaseAccounts"
_NETWORK = "Microsoft.Network"
_REGISTRY = "Microsoft.ContainerRegistry/registries"
_INSIGHTS = "Microsoft.Insights"

KINDS = {
    "resources:ResourceGroup": Kind("Microsoft.Resources/resourceGroups", ("resourceGroupName",), scope=""),
    "cosmosdb:DatabaseAccount": Kind(_COSMOS, ("accountName",), worldwide=True),
    "cosmosdb:SqlResourceSqlDatabase": Kind(f"{_COSMOS}/sqlDatabases", ("accountName", "databaseName")),
    "cosmosdb:SqlResourceSqlContainer": Kind(
        f"{_COSMOS}/sqlDatabases/containers", ("accountName", "databaseName", "containerName")
    ),
    "cosmosdb:SqlResourceSqlRoleAssignment": Kind(f"{_COSMOS}/sqlRoleAssignments", ("accountName", "roleAssignmentId")),
    "app:ManagedEnvironment": Kind("Microsoft.App/managedEnvironments", ("environmentName",)),
    "app:ContainerApp": Kind("Microsoft.App/containerApps", ("containerAppName",)),
    "apimanagement:ApiManagementService": Kind(_APIM, ("serviceName",), worldwide=True),
    "apimanagement:Api": Kind(f"{_APIM}/apis", ("serviceName", "apiId")),
    "apimanagement:ApiPolicy": Kind(f"{_APIM}/apis/policies", ("serviceName", "apiId", "policyId")),
    "apimanagement:ApiOperationPolicy": Kind(
        f"{_APIM}/apis/operations/policies", ("serviceName", "apiId", "operationId", "policyId")
    ),
    "apimanagement:ApiDiagnostic": Kind(f"{_APIM}/apis/diagnostics", ("serviceName", "apiId", "diagnosticId")),
    "apimanagement:ApiVersionSet": Kind(f"{_APIM}/apiVersionSets", ("serviceName", "versionSetId")),
    "apimanagement:Backend": Kind(f"{_APIM}/backends", ("serviceName", "backendId")),
    "apimanagement:Logger": Kind(f"{_APIM}/loggers", ("serviceName", "loggerId")),
    "apimanagement:NamedValue": Kind(f"{_APIM}/namedValues", ("serviceName", "namedValueId")),
    "apimanagement:PolicyFragment": Kind(f"{_APIM}/policyFragments", ("serviceName", "id")),
    "apimanagement:Product": Kind(f"{_APIM}/products", ("serviceName", "productId")),
    "apimanagement:ProductApi": Kind(f"{_APIM}/products/apis", ("serviceName", "productId", "apiId")),
    "operationalinsights:Workspace": Kind("Microsoft.OperationalInsights/workspaces", ("workspaceName",)),
    "applicationinsights:Component": Kind(f"{_INSIGHTS}/components", ("resourceName",)),
    "applicationinsights:WebTest": Kind(f"{_INSIGHTS}/webtests", ("webTestName",)),
    "monitor:ActionGroup": Kind(f"{_INSIGHTS}/actionGroups", ("actionGroupName",)),
    "monitor:MetricAlert": Kind(f"{_INSIGHTS}/metricAlerts", ("ruleName",)),
    "monitor:ScheduledQueryRule": Kind(f"{_INSIGHTS}/scheduledQueryRules", ("ruleName",)),
    "monitor:DiagnosticSetting": Kind(f"{_INSIGHTS}/diagnosticSettings", ("name",), scope="resourceUri"),
    "dashboard:Dashboard": Kind("Microsoft.Dashboard/dashboards", ("dashboardName",)),
    "dashboard:DashboardDefinition": Kind(
        "Microsoft.Dashboard/dashboards/dashboardDefinitions", ("dashboardName", "definitionName")
    ),
    "consumption:Budget": Kind("Microsoft.Consumption/budgets", ("budgetName",), scope="scope"),
    "network:VirtualNetwork": Kind(f"{_NETWORK}/virtualNetworks", ("virtualNetworkName",)),
    "network:Subnet": Kind(f"{_NETWORK}/virtualNetworks/subnets", ("virtualNetworkName", "subnetName")),
    "network:NetworkSecurityGroup": Kind(f"{_NETWORK}/networkSecurityGroups", ("networkSecurityGroupName",)),
    "network:PrivateEndpoint": Kind(f"{_NETWORK}/privateEndpoints", ("privateEndpointName",)),
    "network:PrivateDnsZoneGroup": Kind(
        f"{_NETWORK}/privateEndpoints/privateDnsZoneGroups", ("privateEndpointName", "privateDnsZoneGroupName")
    ),
    "privatedns:PrivateZone": Kind(f"{_NETWORK}/privateDnsZones", ("privateZoneName",)),
    "privatedns:VirtualNetworkLink": Kind(
        f"{_NETWORK}/privateDnsZones/virtualNetworkLinks", ("privateZoneName", "virtualNetworkLinkName")
    ),
    "privatedns:PrivateRecordSet": Kind(f"{_NETWORK}/privateDnsZones/A", ("privateZoneName", "relativeRecordSetName")),
    "containerregistry:Registry": Kind(_REGISTRY, ("registryName",), worldwide=True),
    "containerregistry:TaskRun": Kind(f"{_REGISTRY}/taskRuns", ("registryName", "taskRunName")),
    "managedidentity:UserAssignedIdentity": Kind("Microsoft.ManagedIdentity/userAssignedIdentities", ("resourceName",)),
    "authorization:RoleAssignment": Kind(
        "Microsoft.Authorization/roleAssignments", ("roleAssignmentName",), scope="scope"
    ),
    "authorization:ManagementLockByScope": Kind("Microsoft.Authorization/locks", ("lockName",), scope="scope"),
    "keyvault:Vault": Kind("Microsoft.KeyVault/vaults", ("vaultName",), worldwide=True),
    "keyvault:Secret": Kind("Microsoft.KeyVault/vaults/secrets", ("vaultName", "secretName")),
}


def kind(token: str) -> Kind | None:
    """The type of a resource with this token of Pulumi's; None when it is not listed."""
    return KINDS.get(token.removeprefix("azure-native:"))
