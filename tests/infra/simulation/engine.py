"""The deployment engine: turns registrations into steps, and deletes resources that are no longer registered."""

import threading
from collections.abc import Callable, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import NamedTuple

from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from tests.infra.simulation.cloud import RejectedError
from tests.infra.simulation.state import Goal, State, Step
from tests.infra.simulation.wire import Properties, from_struct, is_secret, mark_secret, to_struct

_Stub = provider_pb2_grpc.ResourceProviderStub


class Order(NamedTuple):
    """The order of a write within a run: what is there before it, and what may be written at the same time."""

    # The ids of the resources that existed before the run, or that the write waits for, at any distance.
    ready_ids: frozenset[str]
    # The tokens and the inputs of the writes that wait for this one as little as it waits for them.
    parallel: Sequence[tuple[str, Properties]]


# Raises `RejectedError` when a resource with these inputs cannot be written in this order.
RequireOrder = Callable[[Goal, Properties, Order], None]


class Deployment:
    """One run of the program against a state. A preview works on a copy of the state and changes nothing."""

    def __init__(
        self,
        *,
        state: dict[str, State],
        providers: Mapping[str, _Stub],
        require_order: RequireOrder,
        preview: bool,
    ) -> None:
        self._old_state = dict(state)
        self._state = dict(state) if preview else state
        self._providers = providers
        self._require_order = require_order
        self._preview = preview
        self._lock = threading.Lock()
        # The inputs of every write that has started.
        self._writes = dict[str, Properties]()
        # Old resources that are deleted at the end of the run, when nothing refers to them any more.
        self._replacements = list[State]()
        self.goals = dict[str, Goal]()
        self.steps = list[Step]()
        self.outputs = dict[str, Properties]()

    def register(self, goal: Goal) -> State:
        """Create, update or replace a resource as the goal requires. Raises `RejectedError`."""
        with self._lock:
            if goal.urn in self.goals:
                raise RejectedError(f"{goal.urn} is registered twice")
            self.goals[goal.urn] = goal
        old = self._old_state.get(goal.urn)
        state, step = self._apply(goal, old) if goal.custom else _apply_component(goal, old)
        with self._lock:
            self.steps.append(step)
            self._state[goal.urn] = state
        return state

    def finish(self) -> None:
        """Delete replaced resources and those that are no longer registered, dependents first."""
        removals = [state for urn, state in self._old_state.items() if urn not in self.goals]
        for state in removals:
            # Checked before the first deletion.
            if state.goal.protect:
                raise RejectedError(f"{state.goal.urn} is protected and cannot be deleted")
        order = _dependents_first(self._old_state)
        for state in sorted(self._replacements + removals, key=lambda each: order.index(each.goal.urn)):
            self._delete(state)
            if state.goal.urn not in self.goals:
                del self._state[state.goal.urn]

    def _apply(self, goal: Goal, old: State | None) -> tuple[State, Step]:
        provider = self._provider(goal)
        inputs = _check(provider, goal, old)
        if old is None:
            return self._create(provider, goal, inputs), Step("create", goal.urn)
        diff = provider.Diff(
            provider_pb2.DiffRequest(
                id=old.id,
                urn=goal.urn,
                olds=to_struct(old.outputs),
                old_inputs=to_struct(old.inputs),
                news=to_struct(inputs),
            )
        )
        if diff.replaces or goal.replace_on_changes & set(diff.diffs):
            delete_first = diff.deleteBeforeReplace or goal.delete_before_replace
            return self._replace(provider, goal, old=old, delete_first=delete_first), Step("replace", goal.urn)
        if diff.changes == provider_pb2.DiffResponse.DIFF_SOME:
            return self._update(provider, goal, old=old, inputs=inputs), Step("update", goal.urn)
        outputs = _with_secret_outputs(old.outputs, goal)
        return State(goal=goal, id=old.id, inputs=inputs, outputs=outputs), Step("same", goal.urn)

    def _create(self, provider: _Stub, goal: Goal, inputs: Properties) -> State:
        self._start_write(goal, inputs)
        request = provider_pb2.CreateRequest(urn=goal.urn, properties=to_struct(inputs), preview=self._preview)
        response = provider.Create(request)
        outputs = _with_secret_outputs(from_struct(response.properties), goal)
        return State(goal=goal, id=response.id, inputs=inputs, outputs=outputs)

    def _update(self, provider: _Stub, goal: Goal, *, old: State, inputs: Properties) -> State:
        self._start_write(goal, inputs)
        response = provider.Update(
            provider_pb2.UpdateRequest(
                id=old.id,
                urn=goal.urn,
                olds=to_struct(old.outputs),
                old_inputs=to_struct(old.inputs),
                news=to_struct(inputs),
                preview=self._preview,
            )
        )
        outputs = _with_secret_outputs(from_struct(response.properties), goal)
        return State(goal=goal, id=old.id, inputs=inputs, outputs=outputs)

    def _replace(self, provider: _Stub, goal: Goal, *, old: State, delete_first: bool) -> State:
        if old.goal.protect:
            raise RejectedError(f"{goal.urn} is protected and cannot be replaced")
        if delete_first:
            self._delete(old)
        else:
            with self._lock:
                self._replacements.append(old)
        # Checked again without the old inputs, so that the replacement gets a generated name of its own.
        return self._create(provider, goal, _check(provider, goal, None))

    def _delete(self, state: State) -> None:
        goal = state.goal
        with self._lock:
            self.steps.append(Step("retain" if goal.retain_on_delete else "delete", goal.urn))
        if not self._preview and goal.custom and not goal.retain_on_delete:
            request = provider_pb2.DeleteRequest(id=state.id, urn=goal.urn, properties=to_struct(state.outputs))
            self._provider(goal).Delete(request)

    def _start_write(self, goal: Goal, inputs: Properties) -> None:
        """Require the order of a write. Of two that wait for each other in no order, the second one sees the first."""
        if self._preview:
            return
        waits_for = self._waits_for(goal)
        with self._lock:
            parallel = [(self.goals[urn].token, each) for urn, each in self._writes.items() if urn not in waits_for]
            self._writes[goal.urn] = inputs
            states = [*(self._state[urn] for urn in waits_for), *self._old_state.values()]
        self._require_order(goal, inputs, Order(frozenset(state.id for state in states), parallel))

    def _waits_for(self, goal: Goal) -> set[str]:
        """Return the URNs that the goal waits for, at any distance."""
        urns, rest = set[str](), set(goal.needs)
        while rest:
            urn = rest.pop()
            urns.add(urn)
            rest |= self.goals[urn].needs - urns
        return urns

    def _provider(self, goal: Goal) -> _Stub:
        package = goal.token.partition(":")[0]
        if package not in self._providers:
            raise RejectedError(f"{goal.urn}: the provider of {package} is not simulated")
        return self._providers[package]


def _apply_component(goal: Goal, old: State | None) -> tuple[State, Step]:
    return State(goal=goal, id="", inputs={}, outputs={}), Step("same" if old else "create", goal.urn)


def _check(provider: _Stub, goal: Goal, old: State | None) -> Properties:
    old_inputs = old.inputs if old else {}
    old_values = {key: old_inputs[key] for key in goal.ignore_changes if key in old_inputs}
    response = provider.Check(
        provider_pb2.CheckRequest(
            urn=goal.urn, olds=to_struct(old_inputs), news=to_struct({**goal.inputs, **old_values})
        )
    )
    if response.failures:
        raise RejectedError("; ".join(failure.reason for failure in response.failures))
    return from_struct(response.inputs)


def _with_secret_outputs(outputs: Properties, goal: Goal) -> Properties:
    return {
        key: mark_secret(value) if key in goal.secret_outputs and not is_secret(value) else value
        for key, value in outputs.items()
    }


def _dependents_first(states: Mapping[str, State]) -> list[str]:
    needs = {urn: state.goal.needs & states.keys() for urn, state in states.items()}
    return list(reversed(list(TopologicalSorter(needs).static_order())))
