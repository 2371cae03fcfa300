"""The Azure resource types that the program may use, and their place in Azure's hierarchy of resource ids.

A resource id consists of the scope, the resource provider, and each segment of the type with a name. The names are
inputs of the resource; the last one is generated from the logical name when it is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SUBSCRIPTION = "/subscriptions/00000000-0000-4000-8000-000000000001"
TENANT = "00000000-0000-4000-8000-000000000002"


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A resource type: its ARM name, and the inputs that form the resource id."""

    arm_name: str
    name_inputs: tuple[str, ...]
    scope_input: str = "resourceGroupName"
    # True if the last name must be unique in all of Azure.
    has_global_name: bool = False

    @property
    def id_inputs(self) -> tuple[str, ...]:
        """The inputs that identify a resource. A change of one of them is another resource."""
        return (self.scope_input, *self.name_inputs) if self.scope_input else self.name_inputs

    def resource_id(self, inputs: Mapping[str, Any]) -> str:
        """Return the id of a resource with these inputs."""
        if self.arm_name == "Microsoft.Resources/resourceGroups":
            return f"{SUBSCRIPTION}/resourceGroups/{inputs['resourceGroupName']}"
        provider, *segments = self.arm_name.split("/")
        scope = str(inputs[self.scope_input])
        if self.scope_input == "resourceGroupName":
            scope = f"{SUBSCRIPTION}/resourceGroups/{scope}"
        path = "/".join(f"{segment}/{inputs[name]}" for segment, name in zip(segments, self.name_inputs, strict=True))
        return f"{scope.rstrip('/')}/providers/{provider}/{path}"


def parent_id(resource_id: str) -> str:
    """Return the id of the resource, group or subscription that contains this resource."""
    scope, _, path = resource_id.rpartition("/providers/")
    is_child_type = path.count("/") > 2 or not scope
    return resource_id.rsplit("/", 2)[0] if is_child_type else scope


_APIM = "Microsoft.ApiManagement/service"
_COSMOS = "Microsoft.DocumentDB/databaseAccounts"
_NETWORK = "Microsoft.Network"
_REGISTRY = "Microsoft.ContainerRegistry/registries"
_INSIGHTS = "Microsoft.Insights"

RESOURCE_TYPES = {
    "resources:ResourceGroup": ResourceType(
        "Microsoft.Resources/resourceGroups", ("resourceGroupName",), scope_input=""
    ),
    "cosmosdb:DatabaseAccount": ResourceType(_COSMOS, ("accountName",), has_global_name=True),
    "cosmosdb:SqlResourceSqlDatabase": ResourceType(f"{_COSMOS}/sqlDatabases", ("accountName", "databaseName")),
    "cosmosdb:SqlResourceSqlContainer": ResourceType(
        f"{_COSMOS}/sqlDatabases/containers", ("accountName", "databaseName", "containerName")
    ),
    "cosmosdb:SqlResourceSqlRoleAssignment": ResourceType(
        f"{_COSMOS}/sqlRoleAssignments", ("accountName", "roleAssignmentId")
    ),
    "app:ManagedEnvironment": ResourceType("Microsoft.App/managedEnvironments", ("environmentName",)),
    "app:ContainerApp": ResourceType("Microsoft.App/containerApps", ("containerAppName",)),
    "apimanagement:ApiManagementService": ResourceType(_APIM, ("serviceName",), has_global_name=True),
    "apimanagement:Api": ResourceType(f"{_APIM}/apis", ("serviceName", "apiId")),
    "apimanagement:ApiPolicy": ResourceType(f"{_APIM}/apis/policies", ("serviceName", "apiId", "policyId")),
    "apimanagement:ApiOperationPolicy": ResourceType(
        f"{_APIM}/apis/operations/policies", ("serviceName", "apiId", "operationId", "policyId")
    ),
    "apimanagement:ApiDiagnostic": ResourceType(f"{_APIM}/apis/diagnostics", ("serviceName", "apiId", "diagnosticId")),
    "apimanagement:ApiVersionSet": ResourceType(f"{_APIM}/apiVersionSets", ("serviceName", "versionSetId")),
    "apimanagement:Backend": ResourceType(f"{_APIM}/backends", ("serviceName", "backendId")),
    "apimanagement:Logger": ResourceType(f"{_APIM}/loggers", ("serviceName", "loggerId")),
    "apimanagement:NamedValue": ResourceType(f"{_APIM}/namedValues", ("serviceName", "namedValueId")),
    "apimanagement:PolicyFragment": ResourceType(f"{_APIM}/policyFragments", ("serviceName", "id")),
    "apimanagement:Product": ResourceType(f"{_APIM}/products", ("serviceName", "productId")),
    "apimanagement:ProductApi": ResourceType(f"{_APIM}/products/apis", ("serviceName", "productId", "apiId")),
    "operationalinsights:Workspace": ResourceType("Microsoft.OperationalInsights/workspaces", ("workspaceName",)),
    "applicationinsights:Component": ResourceType(f"{_INSIGHTS}/components", ("resourceName",)),
    "applicationinsights:WebTest": ResourceType(f"{_INSIGHTS}/webtests", ("webTestName",)),
    "monitor:ActionGroup": ResourceType(f"{_INSIGHTS}/actionGroups", ("actionGroupName",)),
    "monitor:MetricAlert": ResourceType(f"{_INSIGHTS}/metricAlerts", ("ruleName",)),
    "monitor:ScheduledQueryRule": ResourceType(f"{_INSIGHTS}/scheduledQueryRules", ("ruleName",)),
    "monitor:DiagnosticSetting": ResourceType(f"{_INSIGHTS}/diagnosticSettings", ("name",), scope_input="resourceUri"),
    "dashboard:Dashboard": ResourceType("Microsoft.Dashboard/dashboards", ("dashboardName",)),
    "dashboard:DashboardDefinition": ResourceType(
        "Microsoft.Dashboard/dashboards/dashboardDefinitions", ("dashboardName", "definitionName")
    ),
    "consumption:Budget": ResourceType("Microsoft.Consumption/budgets", ("budgetName",), scope_input="scope"),
    "network:VirtualNetwork": ResourceType(f"{_NETWORK}/virtualNetworks", ("virtualNetworkName",)),
    "network:VirtualNetworkPeering": ResourceType(
        f"{_NETWORK}/virtualNetworks/virtualNetworkPeerings", ("virtualNetworkName", "virtualNetworkPeeringName")
    ),
    "network:Subnet": ResourceType(f"{_NETWORK}/virtualNetworks/subnets", ("virtualNetworkName", "subnetName")),
    "network:NetworkSecurityGroup": ResourceType(f"{_NETWORK}/networkSecurityGroups", ("networkSecurityGroupName",)),
    "network:PrivateEndpoint": ResourceType(f"{_NETWORK}/privateEndpoints", ("privateEndpointName",)),
    "network:PrivateDnsZoneGroup": ResourceType(
        f"{_NETWORK}/privateEndpoints/privateDnsZoneGroups", ("privateEndpointName", "privateDnsZoneGroupName")
    ),
    "privatedns:PrivateZone": ResourceType(f"{_NETWORK}/privateDnsZones", ("privateZoneName",)),
    "privatedns:VirtualNetworkLink": ResourceType(
        f"{_NETWORK}/privateDnsZones/virtualNetworkLinks", ("privateZoneName", "virtualNetworkLinkName")
    ),
    "privatedns:PrivateRecordSet": ResourceType(
        f"{_NETWORK}/privateDnsZones/A", ("privateZoneName", "relativeRecordSetName")
    ),
    "containerregistry:Registry": ResourceType(_REGISTRY, ("registryName",), has_global_name=True),
    "containerregistry:Replication": ResourceType(f"{_REGISTRY}/replications", ("registryName", "replicationName")),
    "containerregistry:TaskRun": ResourceType(f"{_REGISTRY}/taskRuns", ("registryName", "taskRunName")),
    "managedidentity:UserAssignedIdentity": ResourceType(
        "Microsoft.ManagedIdentity/userAssignedIdentities", ("resourceName",)
    ),
    "authorization:RoleAssignment": ResourceType(
        "Microsoft.Authorization/roleAssignments", ("roleAssignmentName",), scope_input="scope"
    ),
    "authorization:ManagementLockByScope": ResourceType(
        "Microsoft.Authorization/locks", ("lockName",), scope_input="scope"
    ),
    "keyvault:Vault": ResourceType("Microsoft.KeyVault/vaults", ("vaultName",), has_global_name=True),
    "keyvault:Secret": ResourceType("Microsoft.KeyVault/vaults/secrets", ("vaultName", "secretName")),
}


def resource_type(token: str) -> ResourceType | None:
    """Return the type with this Pulumi token; None when it is not in the catalog."""
    return RESOURCE_TYPES.get(token.removeprefix("azure-native:"))
