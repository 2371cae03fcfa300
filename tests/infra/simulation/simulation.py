"""A stack of the program, simulated: preview, up and destroy over a state and a cloud of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import grpc
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2_grpc, resource_pb2_grpc

from tests.infra.simulation.azure import Azure
from tests.infra.simulation.cloud import Cloud
from tests.infra.simulation.engine import Deployment
from tests.infra.simulation.keys_and_passwords import Random, Tls
from tests.infra.simulation.monitor import Messages, Monitor, told
from tests.infra.simulation.provider import provided, serving
from tests.infra.simulation.stack_files import StackSettings, settings
from tests.infra.simulation.state import STACK, Goal, State, Step
from tests.infra.simulation.wire import Properties

ROOT = Path(__file__).parents[3]
_HOST = Path(__file__).with_name("language_host.py")
_RUN_SECONDS_MAX = 60
# The end of what a failed program said: the error itself and where it came from.
_SAID_LINES = 12


class ProgramFailed(Exception):  # noqa: N818  # what Pulumi calls it
    """The program ended with an error; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run did, or would do: its steps, what the program registered, and the stack's outputs."""

    steps: tuple[Step, ...]
    goals: Mapping[str, Goal]
    outputs: Properties

    def urns(self, *verbs: str) -> set[str]:
        """The resources with one of these steps."""
        return {step.urn for step in self.steps if step.verb in verbs}

    @property
    def changes(self) -> set[str]:
        """The resources that do not stay as they are."""
        return {step.urn for step in self.steps if step.verb != "same"}


class Simulation:
    """A stack, its state and the cloud it is in. A context: its providers serve while it is open."""

    def __init__(self, stack: str) -> None:
        self._stack = stack
        self.cloud = Cloud()
        self.state = dict[str, State]()
        self._open = ExitStack()
        self._providers = dict[str, provider_pb2_grpc.ResourceProviderStub]()

    def __enter__(self) -> Self:
        for package, provider in (("azure-native", Azure(self.cloud)), ("tls", Tls()), ("random", Random())):
            address = self._open.enter_context(provided(provider))
            channel = self._open.enter_context(grpc.insecure_channel(address))
            self._providers[package] = provider_pb2_grpc.ResourceProviderStub(channel)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def preview(self, config: Mapping[str, Any], *, root: Path = ROOT) -> Run:
        """What `up` would do with the project in `root`, configured by its files and this.

        Raises `ProgramFailed` or `Refused`.
        """
        return self._run(settings(root, self._stack, config), preview=True)

    def up(self, config: Mapping[str, Any], *, root: Path = ROOT) -> Run:
        """Make the cloud what the program wants. Raises `ProgramFailed` or `Refused`; what was done stays done."""
        return self._run(settings(root, self._stack, config), preview=False)

    def destroy(self) -> Run:
        """Delete everything. Raises `Refused` while something is protected."""
        deployment = Deployment(state=self.state, providers=self._providers, preview=False)
        told(deployment.finish)
        return Run(tuple(deployment.steps), {}, {})

    def unprotect(self) -> None:
        """Take away the protection of everything, as a person would before the end of a stack."""
        for urn, state in self.state.items():
            self.state[urn] = replace(state, goal=replace(state.goal, protect=False))

    def _run(self, given: StackSettings, *, preview: bool) -> Run:
        deployment = Deployment(state=self.state, providers=self._providers, preview=preview)
        with _served(deployment, project=given.project, stack=self._stack) as (address, messages):
            ended = subprocess.run(
                _command(address, given, stack=self._stack, preview=preview),
                env=_environment(given),
                capture_output=True,
                text=True,
                check=False,
                timeout=_RUN_SECONDS_MAX,
            )
        if ended.returncode:
            raise ProgramFailed("\n".join([*messages.logged, *ended.stderr.splitlines()[-_SAID_LINES:]]))
        told(deployment.finish)
        outputs = next(values for urn, values in deployment.outputs.items() if f"::{STACK}::" in urn)
        return Run(tuple(deployment.steps), deployment.goals, outputs)


@contextmanager
def _served(deployment: Deployment, *, project: str, stack: str) -> Iterator[tuple[str, Messages]]:
    messages, monitor = Messages(), Monitor(deployment, project=project, stack=stack)

    def register(server: grpc.Server) -> None:
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
        engine_pb2_grpc.add_EngineServicer_to_server(messages, server)

    with serving(register) as address:
        yield address, messages


def _command(address: str, given: StackSettings, *, stack: str, preview: bool) -> list[str]:
    return [
        *(sys.executable, str(_HOST)),
        *("--monitor", address, "--engine", address),
        *("--project", given.project, "--stack", stack, "--root", str(given.program.parent)),
        *(["--dry-run"] if preview else []),
        str(given.program),
    ]


def _environment(given: StackSettings) -> dict[str, str]:
    # No path of the tests' own: the program finds what is installed and what is in its folder.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "PYTHONPATH"))}
    return {
        **kept,
        "PULUMI_CONFIG": json.dumps(dict(given.values)),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps(sorted(given.secret_keys)),
        "PULUMI_ERROR_OUTPUT_STRING": "1",
    }
