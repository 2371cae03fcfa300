"""The whole program run under mocks, with every resource as it was registered: secrets marked, dependencies kept.

What Azure would add is made up as in the simulation, so that what is made of it can be looked at. Nothing is unknown
here, and nothing is refused but by the program itself: for those there is the simulation.
"""

import asyncio
import contextlib
import contextvars
import functools
import hashlib
import json
import os
import runpy
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import empty_pb2
from pulumi.runtime import set_all_config, settings, stack
from pulumi.runtime.mocks import MockEngine, MockMonitor, Mocks
from pulumi.runtime.proto import resource_pb2

from tests.infra.simulation import computed, stack_files
from tests.infra.simulation.catalog import kind
from tests.infra.simulation.wire import Properties, from_struct, reveal, secret, to_struct

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
AZURE = "azure-native:"

# What the two helpers of Azure's provider make.
_MADE = {
    "tls:index/privateKey:PrivateKey": ("privateKeyPemPkcs8", "a private key"),
    "random:index/randomPassword:RandomPassword": ("result", "a password"),
}


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A resource as it was registered: inputs in wire form, everything it was told to come after, and its guards."""

    token: str
    name: str
    urn: str
    id: str
    inputs: Properties
    dependencies: frozenset[str]
    parent: str
    protect: bool

    @property
    def plain(self) -> Properties:
        """The inputs without marks of secrecy."""
        found = reveal(self.inputs)
        assert isinstance(found, dict)
        return found


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A run: every resource in the order of registration, the stack's outputs, and the functions that were called."""

    resources: Sequence[Recorded]
    outputs: Properties
    calls: Sequence[str]

    def of(self, token: str) -> Sequence[Recorded]:
        """The resources of a type of Azure's, such as `app:ContainerApp`."""
        return [each for each in self.resources if each.token == AZURE + token]

    def one(self, token: str, name: str | None = None) -> Recorded:
        """The resource of a type of Azure's; by its logical name where there are several."""
        (found,) = [each for each in self.of(token) if name in (None, each.name)]
        return found

    @property
    def azure(self) -> Sequence[Recorded]:
        """Everything that is in Azure."""
        return [each for each in self.resources if each.token.startswith(AZURE)]


class _Nothing(Mocks):
    """What the mocks would make up; the monitor below does it instead."""

    def call(self, args: Any) -> Any:
        raise NotImplementedError(args.token)

    def new_resource(self, args: Any) -> Any:
        raise NotImplementedError(args.typ)


class _Monitor(MockMonitor):
    """Keeps what is registered, and answers as Azure would if it had made it."""

    def __init__(self) -> None:
        super().__init__(_Nothing())
        self.kept: list[Recorded] = []
        self.calls: list[str] = []
        self.outputs: Properties = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  # the protocol's own name
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        if urn in {each.urn for each in self.kept}:
            raise ValueError(f"{urn} is registered twice")
        inputs = from_struct(request.object)
        address, found = _made(request.type, request.name, inputs) if request.custom else ("", inputs)
        self.kept.append(
            Recorded(
                token=request.type,
                name=request.name,
                urn=urn,
                id=address,
                inputs=inputs,
                dependencies=frozenset(request.dependencies),
                parent=request.parent,
                protect=request.protect,
            ),
        )
        return resource_pb2.RegisterResourceResponse(urn=urn, id=address, object=to_struct(found))

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802  # the protocol's own name
        if "pulumi:pulumi:Stack::" in request.urn:
            self.outputs = from_struct(request.outputs)
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:  # noqa: N802  # the protocol's own name
        self.calls.append(request.tok)
        raise LookupError(f"{request.tok} is called, and nothing answers")


def _made(token: str, name: str, inputs: Properties) -> tuple[str, Properties]:
    """A resource's id, and what it would give."""
    if token in _MADE:
        output, value = _MADE[token]
        return name, {**inputs, output: secret(f"{value} {name}")}
    found = kind(token)
    if found is None:
        raise LookupError(f"{token} is not in the catalog of types")
    last = found.names[-1]
    made_up = f"{name}{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    address = found.address(reveal({last: made_up, **inputs}))
    return address, computed.outputs(found, address, inputs)


def record(
    stack_file: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    program: Path = INFRA,
    files: Path = ROOT,
) -> Recording:
    """Run the program with a stack's file and some settings in the place of its own. Raises what the program raises.

    What differs from one to another who sets this up is filled in; a setting that is None is left out.
    """
    given = {**stack_files.EXAMPLE, **(overrides or {})}
    found = stack_files.settings(files, stack_file, {key: value for key, value in given.items() if value is not None})
    left_out = {key if ":" in key else f"{found.project}:{key}" for key, value in given.items() if value is None}
    values = {key: value for key, value in found.values.items() if key not in left_out}
    run = functools.partial(_run, program, name or stack_file, found.project, values, found.secret_keys)
    return contextvars.copy_context().run(run)


@functools.cache
def recorded(stack_file: str) -> Recording:
    """The run of a stack as it stands in its file, made once in a process."""
    return record(stack_file)


def _run(program: Path, name: str, project: str, values: Mapping[str, str], secret_keys: frozenset[str]) -> Recording:
    monitor = _Monitor()
    with _alone(program):
        settings.configure(
            settings.Settings(
                project=project,
                stack=name,
                organization="organization",
                monitor=monitor,
                engine=MockEngine(None),
                dry_run=False,
            ),
        )
        settings.ROOT.set(None)
        set_all_config(dict(values), list(secret_keys))
        # The loop's own context is a copy of this one, so it is made last.
        asyncio.run(stack.run_in_stack(lambda: _start(program)))
    return Recording(resources=tuple(monitor.kept), outputs=monitor.outputs, calls=tuple(monitor.calls))


def _start(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")


@contextlib.contextmanager
def _alone(program: Path) -> Iterator[None]:
    """As the program is run for itself: in its folder, first on the path, with modules of its own."""
    path, folder, modules = list(sys.path), Path.cwd(), set(sys.modules)
    sys.path.insert(0, str(program))
    os.chdir(program)
    try:
        yield
    finally:
        os.chdir(folder)
        sys.path[:] = path
        for added in sys.modules.keys() - modules:
            if str(getattr(sys.modules[added], "__file__", "")).startswith(str(program)):
                del sys.modules[added]


if __name__ == "__main__":
    run = record(sys.argv[1])
    json.dump([[each.token, each.name, each.plain] for each in run.resources], sys.stdout)
