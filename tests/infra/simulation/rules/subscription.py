"""Rules of every type, of regions and of role assignments."""

from collections.abc import Iterator

from tests.infra.simulation.rules.rule import Write, rule, value_at

# The regions of Europe and whether they have availability zones.
_HAS_ZONES = {
    **dict.fromkeys(("norwayeast", "swedencentral", "northeurope", "westeurope", "francecentral"), True),
    **dict.fromkeys(("germanywestcentral", "uksouth", "switzerlandnorth", "italynorth", "polandcentral"), True),
    **dict.fromkeys(("norwaywest", "ukwest", "francesouth", "germanynorth", "switzerlandwest", "swedensouth"), False),
}
_HAS_V2_TIERS = {
    *("norwayeast", "swedencentral", "northeurope", "westeurope", "francecentral", "germanywestcentral"),
    *("italynorth", "switzerlandnorth", "ukwest"),
}
_ZONE_INPUTS = {
    "Microsoft.App/managedEnvironments": ("zoneRedundant", True),
    "Microsoft.ContainerRegistry/registries": ("zoneRedundancy", "Enabled"),
}


@rule("https://learn.microsoft.com/azure/reliability/regions-list")
def a_region_exists(write: Write) -> Iterator[str]:
    """A location is a region of Azure (here: of Europe), or global."""
    location = write.value("location", "global")
    if location != "global" and location not in _HAS_ZONES:
        yield f"LocationNotAvailableForResourceType: {location}"


@rule(
    "https://learn.microsoft.com/azure/reliability/regions-list", "Microsoft.DocumentDB/databaseAccounts", *_ZONE_INPUTS
)
def zones_need_a_region_with_zones(write: Write) -> Iterator[str]:
    """Zone redundancy needs a region with availability zones."""
    name, value = _ZONE_INPUTS.get(write.type.arm_name, ("", None))
    regions = [each["locationName"] for each in write.value("locations", []) if each.get("isZoneRedundant")]
    if name and write.value(name) == value:
        regions.append(write.value("location"))
    yield from (f"{each} has no availability zones" for each in regions if not _HAS_ZONES.get(each, False))


@rule(
    "https://learn.microsoft.com/azure/api-management/api-management-region-availability",
    "Microsoft.ApiManagement/service",
)
def tiers_of_version_2_have_regions(write: Write) -> Iterator[str]:
    """The v2 tiers of API Management exist in some regions only, and temporarily not in UK South."""
    if str(write.value("sku.name")).endswith("V2") and write.value("location") not in _HAS_V2_TIERS:
        yield f"{write.value('sku.name')} is not available in {write.value('location')}"


@rule(
    "https://learn.microsoft.com/azure/role-based-access-control/troubleshooting",
    "Microsoft.Authorization/roleAssignments",
)
def an_assignment_exists_once(write: Write) -> Iterator[str]:
    """One principal has a role at a scope once, under any name; no part of an assignment can be updated."""
    keys = ("principalId", "roleDefinitionId", "scope")
    grant = [write.value(key) for key in keys]
    for other in write.cloud.of_type("Microsoft.Authorization/roleAssignments"):
        if other.id != write.id and [other.inputs.get(key) for key in keys] == grant:
            yield f"RoleAssignmentExists: {other.id}"
    if write.previous and [value_at(write.previous.inputs, key) for key in keys] != grant:
        yield "RoleAssignmentUpdateNotPermitted"


@rule(
    "https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources",
    "Microsoft.Authorization/locks",
)
def a_lock_has_a_level_and_a_short_note(write: Write) -> Iterator[str]:
    """The notes have at most 512 characters. The level ReadOnly would also refuse requests of the service."""
    if write.value("level") != "CanNotDelete":
        yield f"the level {write.value('level')} also refuses the requests that list keys and names"
    if len(write.value("notes", "")) > 512:
        yield "the notes are longer than 512 characters"
