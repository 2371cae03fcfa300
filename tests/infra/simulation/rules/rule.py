"""A rule that Azure applies to a write, and the write that it applies to."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from tests.infra.simulation.catalog import ResourceType
from tests.infra.simulation.cloud import Cloud, CloudResource
from tests.infra.simulation.wire import Properties


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A resource that is created or updated in a cloud. Inputs are plain values."""

    type: ResourceType
    id: str
    inputs: Properties
    cloud: Cloud
    today: date = field(default_factory=_today)

    @property
    def previous(self) -> CloudResource | None:
        """The resource before the write; None for a new one."""
        return self.cloud.find(self.id)

    def value(self, path: str, default: Any = None) -> Any:
        """Return the input at a path of keys, separated by dots."""
        return value_at(self.inputs, path, default)

    def parent(self, arm_name: str) -> CloudResource | None:
        """Return the resource of a type that contains this one."""
        return next((each for each in self.cloud.of_type(arm_name) if contains(each.id, self.id)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedWrite(Write):
    """A write within a run, with its order among the others."""

    # The ids of the resources that existed before the run, or that this write waits for.
    ready_ids: frozenset[str]
    # The resources that the run writes at any time before or after this one.
    parallel: Sequence[tuple[ResourceType, str]]

    def is_ready(self, resource_id: str) -> bool:
        """Return True if the resource exists when this write starts, in every order that the run may take."""
        return resource_id.casefold() in self.ready_ids


Check = Callable[[Any], Iterator[str]]


class Rule(NamedTuple):
    """A rule: what Azure requires, where that is documented, the types, and a check that yields each violation."""

    name: str
    statement: str
    source: str
    types: frozenset[str]
    check: Check
    # True if the rule is about the order of writes: it needs an `OrderedWrite`.
    is_about_order: bool


# Every rule, in the order of definition.
RULES: list[Rule] = []


def rule(source: str, *types: str, order: bool = False) -> Callable[[Check], Check]:
    """Add the check to the rules of these types. Its docstring is the rule's statement."""

    def add(check: Check) -> Check:
        statement = " ".join((check.__doc__ or "").split())
        name = check.__name__.replace("_", " ")
        RULES.append(Rule(name, statement, source, frozenset(types), check, order))
        return check

    return add


def violations(write: Write) -> Sequence[str]:
    """Return a sentence for each violation of the rules: those of order for an `OrderedWrite`, else the others."""
    is_about_order = isinstance(write, OrderedWrite)
    return [
        f"{write.id} violates “{rule.name}”: {violation} ({rule.source})"
        for rule in RULES
        if rule.is_about_order == is_about_order and (write.type.arm_name in rule.types or not rule.types)
        for violation in rule.check(write)
    ]


def value_at(properties: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """Return the value at a path of keys, separated by dots."""
    value: Any = properties
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return default if value is None else value


def contains(ancestor: str, resource_id: str) -> bool:
    """Return True if the resource with this id is below the ancestor."""
    return resource_id.casefold().startswith(f"{ancestor}/".casefold())
