"""What the engine knows of a resource: what the program asked for, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pulumi.runtime.proto import resource_pb2

from tests.infra.simulation.wire import Properties, from_struct

STACK = "pulumi:pulumi:Stack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A resource as the program registers it, on the wire."""

    urn: str
    token: str
    name: str
    parent: str
    custom: bool
    inputs: Properties
    dependencies: frozenset[str]
    # The resources that each input was made from.
    property_dependencies: Mapping[str, frozenset[str]]
    protect: bool
    secret_outputs: frozenset[str]
    ignore_changes: tuple[str, ...]
    replace_on_changes: frozenset[str]
    delete_before_replace: bool
    retain_on_delete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A resource that was made: its goal, its id ("" for a component), its checked inputs and its outputs."""

    goal: Goal
    id: str
    inputs: Properties
    outputs: Properties


@dataclass(frozen=True, slots=True)
class Step:
    """What is done, or would be, with one resource."""

    verb: Literal["create", "update", "replace", "same", "delete", "retain"]
    urn: str

    def __str__(self) -> str:
        return f"{self.verb:8} {self.urn.partition('::')[2].partition('::')[2]}"


def goal(request: resource_pb2.RegisterResourceRequest, *, project: str, stack: str) -> Goal:
    """What a registration asks for."""
    above = request.parent.split("::")[2] if request.parent else ""
    nesting = f"{above}$" if above and above != STACK else ""
    return Goal(
        urn=f"urn:pulumi:{stack}::{project}::{nesting}{request.type}::{request.name}",
        token=request.type,
        name=request.name,
        parent=request.parent,
        custom=request.custom,
        inputs={key: value for key, value in from_struct(request.object).items() if value is not None},
        dependencies=frozenset(request.dependencies),
        property_dependencies={key: frozenset(each.urns) for key, each in request.propertyDependencies.items()},
        protect=request.protect,
        secret_outputs=frozenset(request.additionalSecretOutputs),
        ignore_changes=tuple(request.ignoreChanges),
        replace_on_changes=frozenset(request.replaceOnChanges),
        delete_before_replace=request.deleteBeforeReplace,
        retain_on_delete=request.retainOnDelete,
    )


def not_simulated(request: resource_pb2.RegisterResourceRequest) -> list[str]:
    """The options of a registration that the simulation does not know. Aliases are not looked at: a rename is new."""
    options = ("remote", "importId", "deletedWith", "replace_with", "transforms", "provider", "providers", "packageRef")
    found = [name for name in options if getattr(request, name)]
    return [*found, "an explicit provider"] if request.type.startswith("pulumi:providers:") else found
