"""The simulated Azure provider: generates names in Check, and keeps the resources in a cloud in memory."""

import re
import uuid
from itertools import count
from typing import Any

from tests.infra.simulation import computed_outputs
from tests.infra.simulation.catalog import ResourceType, resource_type
from tests.infra.simulation.cloud import Cloud, CloudResource, RejectedError
from tests.infra.simulation.provider import Diff, Provider, Reading, changed_inputs
from tests.infra.simulation.rules import Write, violations
from tests.infra.simulation.wire import Properties, has_unknown, is_secret, reveal

# Inputs outside the resource id that Azure cannot update.
_IMMUTABLE = {"*": ("location",), "cosmosdb:SqlResourceSqlContainer": ("resource.partitionKey",)}


class AzureProvider(Provider):
    """The resources of pulumi-azure-native."""

    distribution = "pulumi-azure-native"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def check(self, token: str, name: str, *, inputs: Properties, old_inputs: Properties) -> Properties:
        """Add a missing name: the previous one, or one that is generated from the logical name."""
        azure_type = _type(token)
        name_input = azure_type.name_inputs[-1]
        if inputs.get(name_input) is not None:
            return inputs
        if name_input in old_inputs:
            return {**inputs, name_input: old_inputs[name_input]}
        return {**inputs, name_input: self._generate_name(azure_type, name)}

    def diff(self, token: str, name: str, *, old_inputs: Properties, inputs: Properties) -> Diff:
        """Require a replacement when the id or an immutable input changes."""
        old, new, azure_type = reveal(old_inputs), reveal(inputs), _type(token)
        immutable = _IMMUTABLE["*"] + _IMMUTABLE.get(token.removeprefix("azure-native:"), ())
        id_changes = [key for key in azure_type.id_inputs if old.get(key) != new.get(key)]
        immutable_changes = [path for path in immutable if _at(old, path) != _at(new, path)]
        # The replacement has another id when the id changes, or when its name will be generated anew.
        name_pattern = f"{re.escape(name)}[0-9a-f]{{8}}"
        has_new_id = bool(id_changes) or re.fullmatch(name_pattern, str(new[azure_type.name_inputs[-1]]))
        return Diff(
            changes=changed_inputs(old, new),
            replacements=id_changes + immutable_changes,
            delete_first=bool(immutable_changes and not has_new_id),
        )

    def create(self, token: str, inputs: Properties, *, preview: bool) -> tuple[str, Properties]:
        """Create a resource; in a preview return the outputs that are known."""
        azure_type = _type(token)
        resource_id = _resource_id(azure_type, inputs)
        if preview:
            return "", computed_outputs.preview_outputs(azure_type, resource_id, inputs)
        resource = _cloud_resource(azure_type, resource_id, inputs)
        self._require_rules(resource)
        self._cloud.create(resource)
        return resource.id, resource.outputs

    def read(self, token: str, resource_id: str, state: Reading) -> Reading | None:
        """Return a resource of the cloud. Its inputs keep the secret marks of those that the stack knows.

        Azure returns no secret, so an imported resource has none of its secret inputs.
        """
        resource = self._cloud.find(resource_id)
        if resource is None:
            return None
        if not state.inputs:
            return Reading(inputs=_readable(resource.inputs, resource.outputs), outputs=resource.outputs)
        return Reading(inputs=_with_marks_of(state.inputs, resource.inputs), outputs=resource.outputs)

    def update(self, token: str, resource_id: str, *, inputs: Properties, preview: bool) -> Properties:
        """Update a resource; in a preview return the outputs that are known."""
        azure_type = _type(token)
        if preview:
            return computed_outputs.preview_outputs(azure_type, resource_id, inputs)
        resource = _cloud_resource(azure_type, resource_id, inputs)
        self._require_rules(resource)
        self._cloud.update(resource)
        return resource.outputs

    def delete(self, token: str, resource_id: str) -> None:
        """Delete a resource."""
        self._cloud.delete(resource_id)

    def _generate_name(self, azure_type: ResourceType, name: str) -> str:
        """Return a name that is free. It depends on nothing but the cloud, so that two runs can be compared."""
        # The name of a child needs to be unique only within its parent.
        if len(azure_type.name_inputs) > 1:
            return name
        uuids = (uuid.uuid5(uuid.NAMESPACE_URL, f"{azure_type.arm_name} {name} {number}") for number in count())
        is_uuid = azure_type.arm_name.endswith("/roleAssignments")
        names = (str(each) if is_uuid else f"{name}{each.hex[:8]}" for each in uuids)
        return next(each for each in names if self._cloud.is_name_free(azure_type, each))

    def _require_rules(self, resource: CloudResource) -> None:
        write = Write(type=resource.type, id=resource.id, inputs=resource.inputs, cloud=self._cloud)
        if faults := violations(write):
            raise RejectedError("; ".join(faults))


def _type(token: str) -> ResourceType:
    azure_type = resource_type(token)
    if azure_type is None:
        raise RejectedError(f"{token} is not in the simulation's catalog")
    return azure_type


def _resource_id(azure_type: ResourceType, inputs: Properties) -> str:
    try:
        return azure_type.resource_id(reveal(inputs))
    except KeyError as missing_input:
        raise RejectedError(f"a {azure_type.arm_name} without {missing_input}") from None


def _cloud_resource(azure_type: ResourceType, resource_id: str, inputs: Properties) -> CloudResource:
    plain_inputs = reveal(inputs)
    if has_unknown(plain_inputs):
        raise RejectedError(f"{resource_id} has an unknown input")
    return CloudResource(
        id=resource_id,
        type=azure_type,
        inputs=plain_inputs,
        outputs=computed_outputs.outputs(azure_type, resource_id, inputs),
        implicit_children=computed_outputs.implicit_children(azure_type, resource_id, plain_inputs),
    )


def _with_marks_of(old: Any, value: Any) -> Any:
    """Return the value, with each part that is equal in `old` as it is there: with its secret mark."""
    if reveal(old) == value:
        return old
    if isinstance(value, dict):
        below = old if isinstance(old, dict) and not is_secret(old) else {}
        return {key: _with_marks_of(below.get(key), each) for key, each in value.items()}
    return value


def _readable(inputs: Any, outputs: Any) -> Any:
    """Return the inputs without those that Azure's response does not contain."""
    if not isinstance(inputs, dict) or not isinstance(outputs, dict):
        return inputs
    return {
        key: _readable(value, outputs[key])
        for key, value in inputs.items()
        if outputs.get(key) is not None and not is_secret(outputs[key])
    }


def _at(properties: Properties, path: str) -> Any:
    value: Any = properties
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
