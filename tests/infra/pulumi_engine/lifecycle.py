"""The life of a stack on Pulumi's engine, from an empty subscription to an empty subscription."""

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.infra.mutant_project import Mutation, mutate
from tests.infra.pulumi_engine.project import ROOT, TOOLS, PulumiProject, Result, pulumi_project
from tests.infra.simulation.cloud import Cloud, CloudResource, RejectedError
from tests.infra.simulation.outside import certificate_vault
from tests.infra.simulation.regions import Regions
from tests.infra.simulation.stack_files import DOMAIN_SETTINGS, REGION_SETTINGS

# The option by which a command applies the policies of `infra/policy`.
POLICY_PACK = ("--policy-pack", str(ROOT / "infra" / "policy" / "analyzer"))
NEXT_IMAGE = f"eventfeed@sha256:{'2' * 64}"
FIRST_REGION = "norwayeast"
ALERTS = "eventfeed:infra:Alerts"
WITHOUT_ALERTS = Mutation("infra/__main__.py", "\nAlerts(", "\n_ = (")
# Resources that somebody changes and deletes without Pulumi.
CHANGED_TYPE, DELETED_TYPE = "Microsoft.OperationalInsights/workspaces", "Microsoft.Insights/scheduledQueryRules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """The results of the commands on a stack in order, and what they left in the state and in the cloud."""

    preview: Result
    ids_after_preview: set[str]
    # The role assignment for the database is refused at first.
    failed_up: Result
    up: Result
    ids_after_up: set[str]
    state_text: str
    resources: Mapping[str, Mapping[str, Any]]
    second_up: Result
    refresh: Result
    # With another image.
    next_up: Result
    # With a custom domain, and without it again.
    domain_up: Result
    domain_removal: Result
    # After somebody changed one resource and deleted another.
    drift: Result
    drifted_urns: set[str]
    repair: Result
    repaired_resources: Mapping[str, Mapping[str, Any]]
    # The stack forgets a resource that stays in the cloud, and imports it.
    imported_resource: Mapping[str, Any]
    forgotten_resource: Mapping[str, Any]
    # Without a component.
    smaller_up: Result
    # With a second region, in production.
    region_preview: Result | None
    # While resources are protected.
    protected_destroy: Result | None
    ids_after_protected_destroy: set[str]
    destroy: Result
    ids_after_destroy: set[str]


class _NewSubscription(Cloud):
    """A cloud whose directory does not know a new identity at first: its first role for the database is refused."""

    def __init__(self) -> None:
        super().__init__()
        self._knows_identity = False

    def create(self, resource: CloudResource) -> None:
        """Add a resource. Raises `RejectedError` for the first role assignment for the database."""
        if resource.type.arm_name.endswith("/sqlRoleAssignments") and not self._knows_identity:
            self._knows_identity = True
            raise RejectedError("BadRequest: the principal of the role assignment was not found in the tenant")
        super().create(resource)


def run_lifecycle(stack: str) -> Lifecycle:
    """Run every command on a stack of a new subscription."""
    with tempfile.TemporaryDirectory() as folder, pulumi_project(Path(folder), stack, _NewSubscription()) as project:
        values: dict[str, Any] = {}
        for part in (_create, _change, _use_domain, _repair, _import, _destroy):
            values |= part(project)
        _write_figures(project, resources=len(values["resources"]))
        return Lifecycle(**values)


def _write_figures(project: PulumiProject, *, resources: int) -> None:
    """Write the versions and the time of each command to a file beside the tools, which `make engine` prints."""
    packages = " ".join(f"{name} {version(name)}" for name in ("pulumi", "pulumi-azure-native"))
    tool = subprocess.run([TOOLS / "pulumi", "version"], capture_output=True, check=True, text=True).stdout.strip()
    times = "\n".join(f"  {label:22} {seconds:5.1f} s" for label, seconds in project.seconds.items())
    total = sum(project.seconds.values())
    text = f"{project.stack}: command line {tool}, {packages}, {resources} resources\n{times}\n  in all {total:.0f} s\n"
    (TOOLS / f"figures-{project.stack}.txt").write_text(text)


def _create(project: PulumiProject) -> dict[str, Any]:
    return {
        "preview": project.operate("preview", *POLICY_PACK),
        "ids_after_preview": project.cloud.ids,
        "failed_up": project.operate("up", label="up, refused", succeeds=False),
        "up": project.operate("up", *POLICY_PACK, label="up, continued"),
        "ids_after_up": project.cloud.ids,
        "state_text": project.state_file.read_text(),
        "resources": project.export(),
    }


def _change(project: PulumiProject) -> dict[str, Any]:
    second_up = project.operate("up", "--expect-no-changes", label="up again")
    refresh = project.operate("refresh", "--expect-no-changes")
    project.configure({"image": NEXT_IMAGE})
    return {"second_up": second_up, "refresh": refresh, "next_up": project.operate("up", label="up, another image")}


def _use_domain(project: PulumiProject) -> dict[str, Any]:
    vault = list(certificate_vault())
    for each in vault:
        project.cloud.create(each)
    host = project.run("stack", "output", "gatewayHost", label="stack output").output.strip()
    project.cloud.dns[DOMAIN_SETTINGS["customDomain"]] = host
    project.configure(DOMAIN_SETTINGS)
    domain_up = project.operate("up", *POLICY_PACK, label="up, own domain")
    for name in DOMAIN_SETTINGS:
        project.run("config", "rm", name)
    domain_removal = project.operate("up", label="up, domain removed")
    # The secret is deleted with its vault.
    for each in reversed(vault[:-1]):
        project.cloud.delete(each.id)
    return {"domain_up": domain_up, "domain_removal": domain_removal}


def _repair(project: PulumiProject) -> dict[str, Any]:
    workspace = project.cloud.of_type(CHANGED_TYPE)[0]
    rule = project.cloud.of_type(DELETED_TYPE)[0]
    retention = {"retentionInDays": 7}
    project.cloud.update(
        replace(workspace, inputs={**workspace.inputs, **retention}, outputs={**workspace.outputs, **retention})
    )
    project.cloud.delete(rule.id)
    ids = {workspace.id, rule.id}
    return {
        "drifted_urns": {urn for urn, each in project.export().items() if each.get("id") in ids},
        # The command of the workflow `drift`.
        "drift": project.operate(
            "preview", "--refresh", "--expect-no-changes", label="preview of drift", succeeds=False
        ),
        "repair": project.operate("up", "--refresh", label="up, after drift"),
        "repaired_resources": project.export(),
    }


def _import(project: PulumiProject) -> dict[str, Any]:
    resource = _resource_without_dependents(project.export())
    project.run("state", "delete", resource["urn"], "--yes", label="state delete")
    name, parent = resource["urn"].rpartition("::")[2], f"parent={resource['parent']}"
    options = ["--parent", parent, "--generate-code=false", "--protect=false"]
    project.operate("import", resource["type"], name, resource["id"], *options)
    return {"forgotten_resource": resource, "imported_resource": project.export()[resource["urn"]]}


def _resource_without_dependents(resources: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return a resource in Azure that the stack may forget, and that stays when the alerts are removed."""
    needs = {urn for each in resources.values() for urn in each.get("dependencies", [])}
    leaves = [
        each
        for urn, each in resources.items()
        if each["type"].startswith("azure-native:") and urn not in needs and ALERTS not in urn
    ]
    return min(leaves, key=lambda each: str(each["urn"]))


def _preview_region(project: PulumiProject) -> Result:
    """Preview a second region of the stack, whose store has it already."""
    Regions(project.cloud).set_locations([FIRST_REGION, REGION_SETTINGS["secondLocation"]])
    project.operate("refresh", label="refresh, two regions")
    project.configure(REGION_SETTINGS)
    return project.operate("preview", *POLICY_PACK, label="preview, two regions")


def _destroy(project: PulumiProject) -> dict[str, Any]:
    mutate(project.folder, WITHOUT_ALERTS)
    smaller_up = project.operate("up", label="up, without alerts")
    region_preview = _preview_region(project) if project.stack == "prod" else None
    is_protected = any(each.get("protect") for each in project.export().values())
    refusal = project.operate("destroy", label="destroy, refused", succeeds=False) if is_protected else None
    ids = project.cloud.ids
    project.run("state", "unprotect", "--all", "--yes", label="state unprotect")
    return {
        "smaller_up": smaller_up,
        "region_preview": region_preview,
        "protected_destroy": refusal,
        "ids_after_protected_destroy": ids,
        "destroy": project.operate("destroy"),
        "ids_after_destroy": project.cloud.ids,
    }
