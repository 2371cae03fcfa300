"""The engine's view of a resource: the goal that the program registers, the resulting state, and the step to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pulumi.runtime.proto import resource_pb2

from tests.infra.simulation.wire import Properties, from_struct

STACK = "pulumi:pulumi:Stack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A resource as the program registers it, with properties in wire format."""

    urn: str
    token: str
    name: str
    parent: str
    custom: bool
    inputs: Properties
    dependencies: frozenset[str]
    # The resources that each input is computed from.
    property_dependencies: Mapping[str, frozenset[str]]
    protect: bool
    secret_outputs: frozenset[str]
    ignore_changes: tuple[str, ...]
    replace_on_changes: frozenset[str]
    delete_before_replace: bool
    retain_on_delete: bool

    @property
    def needs(self) -> frozenset[str]:
        """The URNs of the resources that this one waits for: its parent and its dependencies."""
        return frozenset({self.parent, *self.dependencies}).union(*self.property_dependencies.values()) - {""}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """An existing resource: its goal, its id ("" for a component), its checked inputs and its outputs."""

    goal: Goal
    id: str
    inputs: Properties
    outputs: Properties


@dataclass(frozen=True, slots=True)
class Step:
    """An operation on a resource, done or previewed."""

    verb: Literal["create", "update", "replace", "same", "delete", "retain"]
    urn: str

    def __str__(self) -> str:
        return f"{self.verb:8} {self.urn.partition('::')[2].partition('::')[2]}"


def goal_of(request: resource_pb2.RegisterResourceRequest, *, project: str, stack: str) -> Goal:
    """Return the goal of a registration."""
    parent_type = request.parent.split("::")[2] if request.parent else ""
    type_prefix = f"{parent_type}$" if parent_type and parent_type != STACK else ""
    return Goal(
        urn=f"urn:pulumi:{stack}::{project}::{type_prefix}{request.type}::{request.name}",
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


def unsupported_options(request: resource_pb2.RegisterResourceRequest) -> list[str]:
    """Return the options of a registration that are not simulated. Aliases are ignored: a rename is a new resource."""
    options = ("remote", "importId", "deletedWith", "replace_with", "transforms", "provider", "providers", "packageRef")
    used_options = [name for name in options if getattr(request, name)]
    is_provider = request.type.startswith("pulumi:providers:")
    return [*used_options, "an explicit provider"] if is_provider else used_options
