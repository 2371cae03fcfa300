"""A simulated stack: preview, up and destroy over its own state and its own cloud."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import grpc
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2, provider_pb2_grpc, resource_pb2_grpc

from tests.infra.simulation.catalog import resource_type
from tests.infra.simulation.cloud import Cloud, RejectedError
from tests.infra.simulation.engine import Deployment, Order
from tests.infra.simulation.language_host import ProgramRun
from tests.infra.simulation.monitor import EngineLog, ResourceMonitor, call_provider
from tests.infra.simulation.packages import served_packages
from tests.infra.simulation.program_process import ROOT, run_program
from tests.infra.simulation.provider import grpc_server
from tests.infra.simulation.rules import OrderedWrite, violations
from tests.infra.simulation.stack_files import StackSettings, read_settings
from tests.infra.simulation.state import STACK, Goal, State, Step
from tests.infra.simulation.wire import Properties, from_struct, reveal, to_struct

# The error and its origin are in the last lines of a failed program's output.
_ERROR_LINES = 12


class ProgramError(Exception):
    """The program ended with an error; the message is its output."""


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a run: its steps, the goals that the program registered, and the stack's outputs."""

    steps: tuple[Step, ...]
    goals: Mapping[str, Goal]
    outputs: Properties

    def urns(self, *verbs: str) -> set[str]:
        """Return the resources with one of these steps."""
        return {step.urn for step in self.steps if step.verb in verbs}

    @property
    def changes(self) -> set[str]:
        """The resources with a step other than "same"."""
        return {step.urn for step in self.steps if step.verb != "same"}


class Simulation:
    """A stack with its state and its cloud. As a context manager it serves the providers while it is open."""

    def __init__(self, stack: str, cloud: Cloud | None = None) -> None:
        self._stack = stack
        self.cloud = cloud or Cloud()
        self.state = dict[str, State]()
        self._resources = ExitStack()
        self._providers = dict[str, provider_pb2_grpc.ResourceProviderStub]()

    def __enter__(self) -> Self:
        addresses = self._resources.enter_context(served_packages(self.cloud))
        for package, address in addresses.items():
            channel = self._resources.enter_context(grpc.insecure_channel(address))
            self._providers[package] = provider_pb2_grpc.ResourceProviderStub(channel)
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def preview(self, config: Mapping[str, Any], *, root: Path = ROOT) -> Run:
        """Return the result that `up` would have, without changing anything.

        `config` takes precedence over the files of the project in `root`. Raises `ProgramError` or `RejectedError`.
        """
        return self._run(read_settings(root, self._stack, config), preview=True)

    def up(self, config: Mapping[str, Any], *, root: Path = ROOT) -> Run:
        """Change the cloud to match the program. Raises `ProgramError` or `RejectedError`, without a rollback."""
        return self._run(read_settings(root, self._stack, config), preview=False)

    def refresh(self) -> set[str]:
        """Read every resource, like `pulumi refresh`. Returns the resources that differ from the state."""
        changes = set[str]()
        for urn, state in list(self.state.items()):
            if state.goal.custom and (current := self._read(state)) != state:
                changes.add(urn)
                self.state[urn] = current
        return changes

    def _read(self, state: State) -> State:
        response = self._providers[state.goal.token.partition(":")[0]].Read(
            provider_pb2.ReadRequest(
                id=state.id, urn=state.goal.urn, inputs=to_struct(state.inputs), properties=to_struct(state.outputs)
            )
        )
        if not response.id:
            raise RejectedError(f"{state.id} does not exist any more, which is not simulated")
        # As the engine does, keep the marks of outputs that only the program makes secret.
        outputs = {
            key: state.outputs[key] if reveal({key: value}) == reveal({key: state.outputs.get(key)}) else value
            for key, value in from_struct(response.properties).items()
        }
        return replace(state, inputs=from_struct(response.inputs), outputs=outputs)

    def destroy(self) -> Run:
        """Delete every resource. Raises `RejectedError` while one is protected."""
        deployment = self._deployment(preview=False)
        call_provider(deployment.finish)
        return Run(tuple(deployment.steps), {}, {})

    def unprotect(self) -> None:
        """Remove the protection of every resource, like `pulumi state unprotect --all`."""
        for urn, state in self.state.items():
            self.state[urn] = replace(state, goal=replace(state.goal, protect=False))

    def _deployment(self, *, preview: bool) -> Deployment:
        return Deployment(
            state=self.state, providers=self._providers, require_order=self._require_order, preview=preview
        )

    def _require_order(self, goal: Goal, inputs: Properties, order: Order) -> None:
        azure_type = resource_type(goal.token)
        if azure_type is None:
            return
        parallel = [
            (other_type, other_type.resource_id(reveal(other_inputs)))
            for token, other_inputs in order.parallel
            if (other_type := resource_type(token))
        ]
        write = OrderedWrite(
            type=azure_type,
            id=azure_type.resource_id(reveal(inputs)),
            inputs=reveal(inputs),
            cloud=self.cloud,
            ready_ids=frozenset(each.casefold() for each in order.ready_ids),
            parallel=parallel,
        )
        if faults := violations(write):
            raise RejectedError("; ".join(faults))

    def _run(self, settings: StackSettings, *, preview: bool) -> Run:
        deployment = self._deployment(preview=preview)
        with _engine_server(deployment, project=settings.project, stack=self._stack) as (address, log):
            code, output = run_program(
                ProgramRun(
                    program=str(settings.program),
                    engine=address,
                    project=settings.project,
                    stack=self._stack,
                    root=str(settings.program.parent),
                    dry_run=preview,
                    config=json.dumps(dict(settings.values)),
                    secret_keys=json.dumps(sorted(settings.secret_keys)),
                )
            )
        if code:
            raise ProgramError("\n".join([*log.messages, *output.splitlines()[-_ERROR_LINES:]]))
        call_provider(deployment.finish)
        outputs = next(values for urn, values in deployment.outputs.items() if f"::{STACK}::" in urn)
        return Run(tuple(deployment.steps), deployment.goals, outputs)


@contextmanager
def _engine_server(deployment: Deployment, *, project: str, stack: str) -> Iterator[tuple[str, EngineLog]]:
    log, monitor = EngineLog(), ResourceMonitor(deployment, project=project, stack=stack)

    def register(server: grpc.Server) -> None:
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
        engine_pb2_grpc.add_EngineServicer_to_server(log, server)

    with grpc_server(register) as address:
        yield address, log
