"""A resource provider: a few methods over properties, served with the calls of Pulumi's provider protocol."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from tests.infra.simulation.cloud import RejectedError
from tests.infra.simulation.wire import Properties, from_struct, to_struct

# More threads than calls that a program makes at once.
_THREADS = 32

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """The effect of new inputs: the inputs that changed, and those that require a replacement."""

    changes: Sequence[str]
    replacements: Sequence[str]
    # True if the replacement has the same id, so that the old resource must be deleted first.
    delete_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An existing resource: its inputs and its outputs."""

    inputs: Properties
    outputs: Properties


class Provider(ABC):
    """The resources of a package. Properties contain secret marks. Every method may raise `RejectedError`."""

    # The name of the SDK. The provider has the SDK's version, as the released providers have.
    distribution: ClassVar[str]

    def check(self, token: str, name: str, *, inputs: Properties, old_inputs: Properties) -> Properties:
        """Return the inputs completed with generated values. `old_inputs` is empty for a new resource."""
        return inputs

    @abstractmethod
    def diff(self, token: str, name: str, *, old_inputs: Properties, inputs: Properties) -> Diff:
        """Compare the inputs of an existing resource with new ones."""

    @abstractmethod
    def create(self, token: str, inputs: Properties, *, preview: bool) -> tuple[str, Properties]:
        """Create a resource and return its id ("" in a preview) and outputs."""

    @abstractmethod
    def read(self, token: str, resource_id: str, state: Reading) -> Reading | None:
        """Return a resource as it is now; None when it does not exist.

        `state` is the resource as the stack knows it. It is empty for a resource that the stack imports.
        """

    @abstractmethod
    def update(self, token: str, resource_id: str, *, inputs: Properties, preview: bool) -> Properties:
        """Update a resource and return its outputs."""

    @abstractmethod
    def delete(self, token: str, resource_id: str) -> None:
        """Delete a resource."""


class ProviderServicer(provider_pb2_grpc.ResourceProviderServicer):
    """Pulumi's provider protocol for a `Provider`."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def GetPluginInfo(self, request: Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=version(self._provider.distribution))

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> Empty:
        return Empty()

    def Cancel(self, request: Empty, context: grpc.ServicerContext) -> Empty:
        return Empty()

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        token, name = _token_and_name(request.urn)
        try:
            inputs = self._provider.check(
                token, name, inputs=from_struct(request.news), old_inputs=from_struct(request.olds)
            )
        except RejectedError as rejection:
            return provider_pb2.CheckResponse(failures=[provider_pb2.CheckFailure(reason=str(rejection))])
        return provider_pb2.CheckResponse(inputs=to_struct(inputs))

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        token, name = _token_and_name(request.urn)
        diff = self._provider.diff(
            token, name, old_inputs=from_struct(request.old_inputs), inputs=from_struct(request.news)
        )
        some = provider_pb2.DiffResponse.DIFF_SOME if diff.changes else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some, diffs=diff.changes, replaces=diff.replacements, deleteBeforeReplace=diff.delete_first
        )

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        token, inputs = _token_and_name(request.urn)[0], from_struct(request.properties)
        resource_id, outputs = call_or_abort(
            context, lambda: self._provider.create(token, inputs, preview=request.preview)
        )
        return provider_pb2.CreateResponse(id=resource_id, properties=to_struct(outputs))

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        state = Reading(inputs=from_struct(request.inputs), outputs=from_struct(request.properties))
        token = _token_and_name(request.urn)[0]
        reading = call_or_abort(context, lambda: self._provider.read(token, request.id, state))
        if reading is None:
            return provider_pb2.ReadResponse()  # without an id: the resource does not exist
        return provider_pb2.ReadResponse(
            id=request.id, inputs=to_struct(reading.inputs), properties=to_struct(reading.outputs)
        )

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        token, inputs = _token_and_name(request.urn)[0], from_struct(request.news)
        outputs = call_or_abort(
            context,
            lambda: self._provider.update(token, request.id, inputs=inputs, preview=request.preview),
        )
        return provider_pb2.UpdateResponse(properties=to_struct(outputs))

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> Empty:
        call_or_abort(context, lambda: self._provider.delete(_token_and_name(request.urn)[0], request.id))
        return Empty()


def call_or_abort(context: grpc.ServicerContext, function: Callable[[], _Result]) -> _Result:
    """Return the function's result. A `RejectedError` aborts the gRPC call with its message."""
    try:
        return function()
    except RejectedError as rejection:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(rejection))
        raise


@contextmanager
def grpc_server(register: Callable[[grpc.Server], None]) -> Iterator[str]:
    """Serve the services that `register` adds, on loopback. Yields the address."""
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()


@contextmanager
def provider_servers(providers: Mapping[str, Provider]) -> Iterator[Mapping[str, str]]:
    """Serve the provider of each package. Yields the address of each package."""
    with ExitStack() as servers:
        yield {package: servers.enter_context(_provider_server(each)) for package, each in providers.items()}


@contextmanager
def _provider_server(provider: Provider) -> Iterator[str]:
    def register(server: grpc.Server) -> None:
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(ProviderServicer(provider), server)

    with grpc_server(register) as address:
        yield address


def changed_inputs(old_inputs: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """Return the top-level inputs that differ."""
    return sorted(key for key in old_inputs.keys() | inputs.keys() if old_inputs.get(key) != inputs.get(key))


def _token_and_name(urn: str) -> tuple[str, str]:
    _, _, type_path, name = urn.split("::", 3)
    return type_path.rpartition("$")[2], name
