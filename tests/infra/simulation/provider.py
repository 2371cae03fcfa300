"""A resource provider as Pulumi's engine speaks with it: the protocol's calls as a few verbs over properties."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from tests.infra.simulation.cloud import Refused
from tests.infra.simulation.wire import Properties, from_struct, to_struct

# More calls at once than a program makes: a slow creation must not hold up the others.
_THREADS = 32

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a change of inputs means: which have changed, and which of those make it another resource."""

    changed: Sequence[str]
    replaces: Sequence[str]
    # Whether the new resource has the place of the old one, which must go first.
    same_place: bool = False


class Provider(ABC):
    """What a package's resources do. Inputs and outputs keep their marks of secrecy. Each verb may raise `Refused`."""

    def check(self, token: str, name: str, *, given: Properties, before: Properties) -> Properties:
        """The inputs as they will be used, with what is made up for them."""
        return given

    @abstractmethod
    def difference(self, token: str, name: str, *, before: Properties, now: Properties) -> Difference:
        """What changed inputs mean."""

    @abstractmethod
    def create(self, token: str, inputs: Properties, *, preview: bool) -> tuple[str, Properties]:
        """The new resource's id ("" in a preview) and outputs."""

    @abstractmethod
    def update(self, token: str, address: str, *, inputs: Properties, preview: bool) -> Properties:
        """The outputs of a changed resource."""

    @abstractmethod
    def delete(self, token: str, address: str) -> None:
        """Take a resource away."""


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """The protocol in front of a provider."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def GetPluginInfo(self, request: Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version="0.0.0")

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
        try:
            inputs = self._provider.check(
                *_token_and_name(request.urn), given=from_struct(request.news), before=from_struct(request.olds)
            )
        except Refused as refusal:
            return provider_pb2.CheckResponse(failures=[provider_pb2.CheckFailure(reason=str(refusal))])
        return provider_pb2.CheckResponse(inputs=to_struct(inputs))

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        found = self._provider.difference(
            *_token_and_name(request.urn), before=from_struct(request.old_inputs), now=from_struct(request.news)
        )
        some = provider_pb2.DiffResponse.DIFF_SOME if found.changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some, diffs=found.changed, replaces=found.replaces, deleteBeforeReplace=found.same_place
        )

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        token, inputs = _token_and_name(request.urn)[0], from_struct(request.properties)
        address, outputs = answered(context, lambda: self._provider.create(token, inputs, preview=request.preview))
        return provider_pb2.CreateResponse(id=address, properties=to_struct(outputs))

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        token, inputs = _token_and_name(request.urn)[0], from_struct(request.news)
        outputs = answered(
            context,
            lambda: self._provider.update(token, request.id, inputs=inputs, preview=request.preview),
        )
        return provider_pb2.UpdateResponse(properties=to_struct(outputs))

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> Empty:
        answered(context, lambda: self._provider.delete(_token_and_name(request.urn)[0], request.id))
        return Empty()


def answered(context: grpc.ServicerContext, verb: Callable[[], _Answer]) -> _Answer:
    """What the verb returns; a refusal ends the call with its words."""
    try:
        return verb()
    except Refused as refusal:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(refusal))
        raise


@contextmanager
def serving(register: Callable[[grpc.Server], None]) -> Iterator[str]:
    """The address of a server on loopback with the services that `register` adds."""
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()


@contextmanager
def provided(provider: Provider) -> Iterator[str]:
    """The address of a provider that serves."""
    with serving(
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(provider), server)
    ) as at:
        yield at


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The top-level inputs that are not as before."""
    return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))


def _token_and_name(urn: str) -> tuple[str, str]:
    _, _, nesting, name = urn.split("::", 3)
    return nesting.rpartition("$")[2], name
