"""The simulation's small engine and Pulumi's own: the same program leads to the same resources on both."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from tests.infra.pulumi_engine.lifecycle import Lifecycle
from tests.infra.session_cache import SessionCache
from tests.infra.simulation.simulation import Simulation
from tests.infra.simulation.stack_files import EXAMPLE_SETTINGS
from tests.infra.simulation.state import State
from tests.infra.simulation.wire import is_secret

SETTINGS = {**EXAMPLE_SETTINGS, "platformSubscriptionKey": {"secure": "…"}}


class SimulatedLife(NamedTuple):
    """The state after the first `up`, and the resources in the order of their creation and of their deletion."""

    state: Mapping[str, State]
    creations: Sequence[str]
    deletions: Sequence[str]


def run_simulation(stack: str) -> SimulatedLife:
    """Create and destroy a stack on the small engine."""
    with Simulation(stack) as small:
        small.preview(SETTINGS)
        up, state = small.up(SETTINGS), dict(small.state)
        small.unprotect()
        destroy = small.destroy()
        return SimulatedLife(state, [each.urn for each in up.steps], [each.urn for each in destroy.steps])


@pytest.fixture(scope="module")
def simulation(lifecycle: Lifecycle, session_cache: SessionCache) -> SimulatedLife:
    """The life of the same stack on the small engine."""
    stack = next(iter(lifecycle.resources)).split("::")[0].rpartition(":")[2]
    return session_cache.get(["both engines", stack], lambda: run_simulation(stack))


def mask(value: Any) -> Any:
    """Return a value with a text in place of each secret: keys and passwords differ from run to run."""
    if is_secret(value):
        return "[secret]"
    if isinstance(value, Mapping):
        return {key: mask(each) for key, each in value.items()}
    return [mask(each) for each in value] if isinstance(value, list) else value


def of_program(lifecycle: Lifecycle) -> Mapping[str, Mapping[str, Any]]:
    """Return the resources of the state without the providers that Pulumi's engine adds."""
    return {urn: each for urn, each in lifecycle.resources.items() if "::pulumi:providers:" not in urn}


def test_both_engines_have_the_same_resources(lifecycle: Lifecycle, simulation: SimulatedLife) -> None:
    """They have the same ids, parents and protection. A generated value has another id each time."""
    pulumi = {
        urn: (azure_id(urn, each.get("id", "")), each.get("parent", ""), each.get("protect", False))
        for urn, each in of_program(lifecycle).items()
    }
    small = {
        urn: (azure_id(urn, each.id), each.goal.parent, each.goal.protect) for urn, each in simulation.state.items()
    }

    assert pulumi == small


def azure_id(urn: str, resource_id: str) -> str:
    """Return the id of a resource in Azure; "" for others."""
    return resource_id if "azure-native:" in urn.split("::")[2].rpartition("$")[2] else ""


def test_both_engines_have_the_same_inputs_and_outputs(lifecycle: Lifecycle, simulation: SimulatedLife) -> None:
    """The same parts of them are secret."""
    pulumi = {
        urn: (mask(each.get("inputs", {})), mask(each.get("outputs", {})))
        for urn, each in of_program(lifecycle).items()
        if each["custom"]
    }
    small = {urn: (mask(each.inputs), mask(each.outputs)) for urn, each in simulation.state.items() if each.goal.custom}

    assert pulumi == small
    assert any("[secret]" in str(each) for each in pulumi.values())


def test_both_engines_have_the_same_dependencies(lifecycle: Lifecycle, simulation: SimulatedLife) -> None:
    """They wait for the same resources, as a whole and for each input."""
    pulumi = {
        urn: (set(each.get("dependencies", [])), sets(each.get("propertyDependencies") or {}))
        for urn, each in of_program(lifecycle).items()
    }
    small = {
        urn: (set(each.goal.dependencies), sets(each.goal.property_dependencies))
        for urn, each in simulation.state.items()
    }

    assert pulumi == small


def sets(dependencies: Mapping[str, Iterable[str] | None]) -> Mapping[str, set[str]]:
    """Return the dependencies of the inputs that have any."""
    return {name: set(urns) for name, urns in dependencies.items() if urns}


def test_both_engines_create_dependencies_first_and_delete_them_last(
    lifecycle: Lifecycle, simulation: SimulatedLife
) -> None:
    """No resource is created before one that it waits for, or deleted after it."""
    order = [*lifecycle.failed_up.steps, *(urn for urn, each in lifecycle.up.steps.items() if each == "create")]
    waits = {urn: each.goal.needs for urn, each in simulation.state.items()}
    in_pulumi = (in_order(order), in_order(lifecycle.destroy.steps))
    in_simulation = (in_order(simulation.creations), in_order(simulation.deletions))
    for creations, deletions in (in_pulumi, in_simulation):
        assert [] == [
            (urn, need)
            for urn, needs in waits.items()
            for need in needs
            if creations[urn] < creations[need] or deletions.get(urn, -1) > deletions.get(need, len(deletions))
        ]


def in_order(urns: Iterable[str]) -> Mapping[str, int]:
    """Return the place of each resource, the first one if it occurs twice."""
    return {urn: place for place, urn in reversed(list(enumerate(urns)))}
