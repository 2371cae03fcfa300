"""One run of the program against the state: what it registers becomes steps, and what it left out is deleted."""

import threading
from collections.abc import Mapping
from graphlib import TopologicalSorter

from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from tests.infra.simulation.cloud import Refused
from tests.infra.simulation.state import Goal, State, Step
from tests.infra.simulation.wire import Properties, from_struct, is_secret, secret, to_struct

_Stub = provider_pb2_grpc.ResourceProviderStub


class Deployment:
    """What becomes of each registration. A preview works on a copy of the state and touches nothing."""

    def __init__(self, *, state: dict[str, State], providers: Mapping[str, _Stub], preview: bool) -> None:
        self._before = dict(state)
        self._state = dict(state) if preview else state
        self._providers = providers
        self._preview = preview
        self._lock = threading.Lock()
        # What was replaced and goes at the end, when nothing names it any more.
        self._replaced = list[State]()
        self.goals = dict[str, Goal]()
        self.steps = list[Step]()
        self.outputs = dict[str, Properties]()

    def register(self, goal: Goal) -> State:
        """Make the resource what the program wants. Raises `Refused`."""
        with self._lock:
            if goal.urn in self.goals:
                raise Refused(f"{goal.urn} is registered twice")
            self.goals[goal.urn] = goal
        before = self._before.get(goal.urn)
        done, step = self._settled(goal, before) if goal.custom else _component(goal, before)
        with self._lock:
            self.steps.append(step)
            self._state[goal.urn] = done
        return done

    def finish(self) -> None:
        """Delete what was replaced, and what the program no longer registers: what depends on others first."""
        gone = [state for urn, state in self._before.items() if urn not in self.goals]
        for state in gone:
            # Looked at before anything is deleted.
            if state.goal.protect:
                raise Refused(f"{state.goal.urn} is protected and cannot be deleted")
        order = _dependents_first(self._before)
        for state in sorted(self._replaced + gone, key=lambda each: order.index(each.goal.urn)):
            self._delete(state)
            if state.goal.urn not in self.goals:
                del self._state[state.goal.urn]

    def _settled(self, goal: Goal, before: State | None) -> tuple[State, Step]:
        provider = self._provider(goal)
        inputs = _checked(provider, goal, before)
        if before is None:
            return self._create(provider, goal, inputs), Step("create", goal.urn)
        found = provider.Diff(
            provider_pb2.DiffRequest(
                id=before.id,
                urn=goal.urn,
                olds=to_struct(before.outputs),
                old_inputs=to_struct(before.inputs),
                news=to_struct(inputs),
            )
        )
        if found.replaces or goal.replace_on_changes & set(found.diffs):
            first = found.deleteBeforeReplace or goal.delete_before_replace
            return self._replace(provider, goal, before=before, delete_first=first), Step("replace", goal.urn)
        if found.changes == provider_pb2.DiffResponse.DIFF_SOME:
            return self._update(provider, goal, before=before, inputs=inputs), Step("update", goal.urn)
        outputs = _with_secrets(before.outputs, goal)
        return State(goal=goal, id=before.id, inputs=inputs, outputs=outputs), Step("same", goal.urn)

    def _create(self, provider: _Stub, goal: Goal, inputs: Properties) -> State:
        asked = provider_pb2.CreateRequest(urn=goal.urn, properties=to_struct(inputs), preview=self._preview)
        made = provider.Create(asked)
        outputs = _with_secrets(from_struct(made.properties), goal)
        return State(goal=goal, id=made.id, inputs=inputs, outputs=outputs)

    def _update(self, provider: _Stub, goal: Goal, *, before: State, inputs: Properties) -> State:
        made = provider.Update(
            provider_pb2.UpdateRequest(
                id=before.id,
                urn=goal.urn,
                olds=to_struct(before.outputs),
                old_inputs=to_struct(before.inputs),
                news=to_struct(inputs),
                preview=self._preview,
            )
        )
        outputs = _with_secrets(from_struct(made.properties), goal)
        return State(goal=goal, id=before.id, inputs=inputs, outputs=outputs)

    def _replace(self, provider: _Stub, goal: Goal, *, before: State, delete_first: bool) -> State:
        if before.goal.protect:
            raise Refused(f"{goal.urn} is protected and cannot be replaced")
        if delete_first:
            self._delete(before)
        else:
            with self._lock:
                self._replaced.append(before)
        # Checked once more, as if it had never been: what is made up must be another than the old one's.
        return self._create(provider, goal, _checked(provider, goal, None))

    def _delete(self, state: State) -> None:
        goal = state.goal
        with self._lock:
            self.steps.append(Step("retain" if goal.retain_on_delete else "delete", goal.urn))
        if not self._preview and goal.custom and not goal.retain_on_delete:
            asked = provider_pb2.DeleteRequest(id=state.id, urn=goal.urn, properties=to_struct(state.outputs))
            self._provider(goal).Delete(asked)

    def _provider(self, goal: Goal) -> _Stub:
        package = goal.token.partition(":")[0]
        if package not in self._providers:
            raise Refused(f"{goal.urn}: no provider of {package} is simulated")
        return self._providers[package]


def _component(goal: Goal, before: State | None) -> tuple[State, Step]:
    return State(goal=goal, id="", inputs={}, outputs={}), Step("same" if before else "create", goal.urn)


def _checked(provider: _Stub, goal: Goal, before: State | None) -> Properties:
    old = before.inputs if before else {}
    kept = {key: old[key] for key in goal.ignore_changes if key in old}
    answer = provider.Check(
        provider_pb2.CheckRequest(urn=goal.urn, olds=to_struct(old), news=to_struct({**goal.inputs, **kept}))
    )
    if answer.failures:
        raise Refused("; ".join(failure.reason for failure in answer.failures))
    return from_struct(answer.inputs)


def _with_secrets(outputs: Properties, goal: Goal) -> Properties:
    return {
        key: secret(value) if key in goal.secret_outputs and not is_secret(value) else value
        for key, value in outputs.items()
    }


def _dependents_first(states: Mapping[str, State]) -> list[str]:
    above = {urn: _needs(state.goal) & states.keys() for urn, state in states.items()}
    return list(reversed(list(TopologicalSorter(above).static_order())))


def _needs(goal: Goal) -> set[str]:
    return {goal.parent, *goal.dependencies}.union(*goal.property_dependencies.values())
