"""A run of the whole program under Pulumi's mocks, with every resource as the program registers it.

The mocks return the outputs that the simulation computes, so every value is known and nothing is rejected. Unknown
values, rejections and the order of resources are tested in the simulation.
"""

import asyncio
import contextlib
import contextvars
import gc
import hashlib
import json
import os
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import empty_pb2
from pulumi import RunError
from pulumi.runtime import set_all_config, settings, stack
from pulumi.runtime.mocks import MockEngine, MockMonitor, Mocks
from pulumi.runtime.proto import resource_pb2

from tests.infra.simulation import computed_outputs
from tests.infra.simulation.alias_urns import no_alias_urns
from tests.infra.simulation.catalog import resource_type
from tests.infra.simulation.stack_files import EXAMPLE_SETTINGS, StackSettings, read_settings
from tests.infra.simulation.wire import Properties, from_struct, mark_secret, reveal, to_struct

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
AZURE = "azure-native:"

# The output of pulumi-tls and pulumi-random, and its mock value, to which the resource's name is added.
_GENERATED_OUTPUTS = {
    "tls:index/privateKey:PrivateKey": ("privateKeyPemPkcs8", "a private key"),
    "random:index/randomPassword:RandomPassword": ("result", "a password"),
}


@dataclass(frozen=True, kw_only=True)
class RegisteredResource:
    """A resource as the program registers it. Inputs are in wire format; dependencies and parent are URNs."""

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
        """The inputs without secret marks."""
        inputs = reveal(self.inputs)
        assert isinstance(inputs, dict)
        return inputs


@dataclass(frozen=True, kw_only=True)
class MockRun:
    """The resources in the order of registration, the stack's outputs, and the tokens of the functions called."""

    resources: Sequence[RegisteredResource]
    outputs: Properties
    calls: Sequence[str]

    def of(self, token: str) -> Sequence[RegisteredResource]:
        """Return the resources of an Azure type, such as `app:ContainerApp`."""
        return [each for each in self.resources if each.token == AZURE + token]

    def one(self, token: str, name: str | None = None) -> RegisteredResource:
        """Return the only resource of an Azure type, or the one with this logical name."""
        (resource,) = [each for each in self.of(token) if name in (None, each.name)]
        return resource

    @property
    def azure(self) -> Sequence[RegisteredResource]:
        """The resources in Azure."""
        return [each for each in self.resources if each.token.startswith(AZURE)]


class _UnusedMocks(Mocks):
    """Required by the base class of the monitor, which overrides every method that would use it."""

    def call(self, args: Any) -> Any:
        raise NotImplementedError(args.token)

    def new_resource(self, args: Any) -> Any:
        raise NotImplementedError(args.typ)


class _MockMonitor(MockMonitor):
    """Keeps every registration and returns the outputs that the simulation computes."""

    def __init__(self) -> None:
        super().__init__(_UnusedMocks())
        self.registrations: list[RegisteredResource] = []
        self.calls: list[str] = []
        self.outputs: Properties = {}

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """Return the URN with the types of all ancestors, as the engine does, and not with the parent's alone."""
        stack_type = "pulumi:pulumi:Stack"
        ancestors = parent.split("::")[2].removeprefix(stack_type).removeprefix("$") if parent else ""
        return super().make_urn("", f"{ancestors}${type_}" if ancestors else type_, name)

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  # the protocol's own name
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        if urn in {each.urn for each in self.registrations}:
            raise ValueError(f"{urn} is registered twice")
        inputs = from_struct(request.object)
        resource_id, outputs = _mock_outputs(request.type, request.name, inputs) if request.custom else ("", inputs)
        secret_outputs = outputs.keys() & set(request.additionalSecretOutputs)
        outputs |= {key: mark_secret(outputs[key]) for key in secret_outputs}
        self.registrations.append(
            RegisteredResource(
                token=request.type,
                name=request.name,
                urn=urn,
                id=resource_id,
                inputs=inputs,
                dependencies=frozenset(request.dependencies),
                parent=request.parent,
                protect=request.protect,
            ),
        )
        return resource_pb2.RegisterResourceResponse(urn=urn, id=resource_id, object=to_struct(outputs))

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802  # the protocol's own name
        if "pulumi:pulumi:Stack::" in request.urn:
            self.outputs = from_struct(request.outputs)
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:  # noqa: N802  # the protocol's own name
        self.calls.append(request.tok)
        raise LookupError(f"{request.tok} is called and has no mock")


def _mock_outputs(token: str, name: str, inputs: Properties) -> tuple[str, Properties]:
    """Return a resource's id and outputs."""
    if token in _GENERATED_OUTPUTS:
        output, value = _GENERATED_OUTPUTS[token]
        return name, {**inputs, output: mark_secret(f"{value} {name}")}
    azure_type = resource_type(token)
    if azure_type is None:
        raise LookupError(f"{token} is not in the catalog of types")
    generated_name = f"{name}{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    resource_id = azure_type.resource_id(reveal({azure_type.name_inputs[-1]: generated_name, **inputs}))
    return resource_id, computed_outputs.outputs(azure_type, resource_id, inputs)


def run_with_mocks(
    stack_file: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    project: Path = ROOT,
) -> MockRun:
    """Run the program of a project under mocks. Raises the program's exception.

    `overrides` take precedence over the stack's file and the example settings; None removes a setting. `name` is the
    stack's name when it differs from that of its file.
    """
    monitor = _MockMonitor()
    _run(_configuration(stack_file, overrides, project), monitor, name=name or stack_file)
    return MockRun(resources=tuple(monitor.registrations), outputs=monitor.outputs, calls=tuple(monitor.calls))


class RefusedRun(NamedTuple):
    """A run that the program ends with an error: the message, and the resources that it has registered before."""

    message: str
    resources: Sequence[RegisteredResource]


def run_refused(stack_file: str, overrides: Mapping[str, Any], *, project: Path = ROOT) -> RefusedRun:
    """Run the program of a project with settings that it refuses. Raises `AssertionError` if it accepts them."""
    monitor = _MockMonitor()
    try:
        _run(_configuration(stack_file, overrides, project), monitor, name=stack_file)
    except RunError as error:
        return RefusedRun(str(error), tuple(monitor.registrations))
    raise AssertionError(f"the program accepts {overrides}")


def read_configuration(stack_file: str, overrides: Mapping[str, Any]) -> None:
    """Read the configuration as the program does, without its resources. Raises the program's exception."""
    configuration = _configuration(stack_file, overrides, ROOT)
    _run(configuration, _MockMonitor(), name=stack_file, start=_read_stack)


def _configuration(stack_file: str, overrides: Mapping[str, Any] | None, project: Path) -> StackSettings:
    config = {**EXAMPLE_SETTINGS, **(overrides or {})}
    present = {key: value for key, value in config.items() if value is not None}
    stack_settings = read_settings(project, stack_file, present)
    removals = {key if ":" in key else f"{stack_settings.project}:{key}" for key in config.keys() - present.keys()}
    values = {key: value for key, value in stack_settings.values.items() if key not in removals}
    return replace(stack_settings, values=values)


def _start(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")


def _read_stack(program: Path) -> None:
    runpy.run_path(str(program / "stack.py"))["read_stack"]()


def _run(
    stack_settings: StackSettings, monitor: _MockMonitor, *, name: str, start: Callable[[Path], None] = _start
) -> None:
    contextvars.copy_context().run(_run_in_context, stack_settings, monitor, name, start)


def _run_in_context(
    stack_settings: StackSettings, monitor: _MockMonitor, name: str, start: Callable[[Path], None]
) -> None:
    with _isolated_imports(stack_settings.program), _no_garbage_collection(), no_alias_urns():
        settings.configure(
            settings.Settings(
                project=stack_settings.project,
                stack=name,
                organization="organization",
                monitor=monitor,
                engine=MockEngine(None),
                dry_run=False,
            ),
        )
        settings.ROOT.set(None)
        set_all_config(dict(stack_settings.values), list(stack_settings.secret_keys))
        # The loop copies the current context, so it must be created last.
        asyncio.run(stack.run_in_stack(lambda: start(stack_settings.program)))


@contextlib.contextmanager
def _isolated_imports(program: Path) -> Iterator[None]:
    """Run in the program's folder, first on the import path, and remove its modules afterwards."""
    path, folder, modules = list(sys.path), Path.cwd(), set(sys.modules)
    sys.path.insert(0, str(program))
    os.chdir(program)
    try:
        yield
    finally:
        os.chdir(folder)
        sys.path[:] = path
        for module in sys.modules.keys() - modules:
            if str(getattr(sys.modules[module], "__file__", "")).startswith(str(program)):
                del sys.modules[module]


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Disable garbage collection: with Azure's many classes in memory it takes three quarters of a run."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


if __name__ == "__main__":
    json.dump([[each.token, each.name, each.plain] for each in run_with_mocks(sys.argv[1]).resources], sys.stdout)
