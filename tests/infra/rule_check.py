"""A check of a whole run under mocks against Azure's rules: of each write in order, and of the order itself."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.infra.mock_run import MockRun, RegisteredResource
from tests.infra.simulation import computed_outputs
from tests.infra.simulation.catalog import ResourceType, resource_type
from tests.infra.simulation.cloud import Cloud, CloudResource
from tests.infra.simulation.outside import certificate_vault
from tests.infra.simulation.rules import OrderedWrite, Write, violations
from tests.infra.simulation.stack_files import DOMAIN_SETTINGS


def run_violations(run: MockRun) -> Iterator[str]:
    """Yield a sentence for each violation, when every resource of the run is created in an empty subscription."""
    cloud, waits = _cloud(run, []), _waits(run)
    resources = {each.urn: _cloud_resource(each) for each in run.azure}
    for resource in resources.values():
        yield from violations(Write(type=resource.type, id=resource.id, inputs=resource.inputs, cloud=cloud))
        cloud.create(resource)
    for urn, resource in resources.items():
        ready = frozenset(resources[each].id.casefold() for each in waits[urn] & resources.keys())
        parallel = [
            (other.type, other.id)
            for other_urn, other in resources.items()
            if urn != other_urn and other_urn not in waits[urn] and urn not in waits[other_urn]
        ]
        write = OrderedWrite(
            type=resource.type, id=resource.id, inputs=resource.inputs, cloud=cloud, ready_ids=ready, parallel=parallel
        )
        yield from violations(write)


class InputFault(NamedTuple):
    """A value for an input of a resource of a stack, in a write that violates a rule.

    The resource has the token and, if it is set, the name. It is new, or exists without the fault.
    """

    stack: str
    token: str
    path: str
    value: Any
    name: str | None = None
    is_update: bool = False
    # Settings of an optional part of the stack.
    settings: Mapping[str, str] | None = None


def write_violations(run: MockRun, fault: InputFault) -> Sequence[str]:
    """Return the violations of a write with the fault, in a cloud that has all other resources of the run.

    A fault at the last part of the id is a second resource, beside that of the run. A fault without a path is a map of
    inputs.
    """
    target = next(each for each in run.of(fault.token) if fault.name in (None, each.name))
    resource = _cloud_resource(target)
    is_other_id = fault.path == resource.type.name_inputs[-1]
    others = [_cloud_resource(each) for each in run.azure if each is not target or fault.is_update or is_other_id]
    cloud = _cloud(run, others)
    resource_id = f"{resource.id.rpartition('/')[0]}/{fault.value}" if is_other_id else resource.id
    path = fault.path.split(".") if fault.path else []
    inputs = _with_value(target.plain, path, fault.value) if path else {**target.plain, **fault.value}
    return violations(Write(type=resource.type, id=resource_id, inputs=inputs, cloud=cloud))


def cloud_of(run: MockRun) -> Cloud:
    """Return a cloud with all resources of the run."""
    return _cloud(run, [_cloud_resource(each) for each in run.azure])


def _cloud(run: MockRun, resources: Iterable[CloudResource]) -> Cloud:
    """Return a cloud with these resources, the operator's vault, and the DNS record of the gateway."""
    cloud = Cloud([*certificate_vault(), *resources])
    cloud.dns[DOMAIN_SETTINGS["customDomain"]] = str(run.outputs["gatewayHost"])
    return cloud


def _with_value(inputs: Any, path: Sequence[str], value: Any) -> Any:
    key: Any = int(path[0]) if isinstance(inputs, list) else path[0]
    result = copy.copy(inputs)
    result[key] = value if len(path) == 1 else _with_value(inputs[key], path[1:], value)
    return result


def _waits(run: MockRun) -> Mapping[str, frozenset[str]]:
    """Return the URNs that each resource waits for, at any distance. Resources are in the order of registration."""
    waits = dict[str, frozenset[str]]()
    for each in run.resources:
        needs = {*each.dependencies, each.parent} & waits.keys()
        waits[each.urn] = frozenset(needs).union(*(waits[urn] for urn in needs))
    return waits


def _cloud_resource(resource: RegisteredResource) -> CloudResource:
    azure_type = resource_type(resource.token)
    assert isinstance(azure_type, ResourceType), resource.token
    return CloudResource(
        id=resource.id,
        type=azure_type,
        inputs=resource.plain,
        outputs=computed_outputs.outputs(azure_type, resource.id, resource.plain),
        implicit_children=computed_outputs.implicit_children(azure_type, resource.id, resource.plain),
    )
