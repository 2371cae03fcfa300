"""A rule for single resources, and the list of all rules."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource as the program registers it: its type without the package's name, its inputs, and its protection.

    `production` is that of the stack's file. No input of a resource decides which rules apply to it.
    """

    type: str
    inputs: Mapping[str, Any]
    protect: bool
    production: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule with a name: the types of resources that it applies to, and the faults that it finds in one."""

    name: str
    meaning: str
    types: frozenset[str]
    faults: Callable[[Resource], Iterator[str]]

    def violations(self, resource: Resource) -> Iterator[str]:
        """Yield each fault of the resource, in words that name the input."""
        if resource.type in self.types:
            yield from self.faults(resource)


RULES = list[Rule]()
# Yields the faults of a resource.
Faults = Callable[[Resource], Iterator[str]]


def rule(*types: str) -> Callable[[Faults], Faults]:
    """Add a function that yields faults to the rules, under its own name, with its docstring as the meaning."""

    def add(faults: Faults) -> Faults:
        meaning = (faults.__doc__ or "").strip()
        name = faults.__name__.strip("_").replace("_", "-")
        RULES.append(Rule(name=name, meaning=meaning, types=frozenset(types), faults=faults))
        return faults

    return add


def requires(inputs: Mapping[str, Any], **values: Any) -> Iterator[str]:
    """Yield a fault for each input that has another value."""
    for name, value in values.items():
        if inputs.get(name) != value:
            yield f"{name} must be {value!r}, not {inputs.get(name)!r}"
