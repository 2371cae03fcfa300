"""The engine's two services for the program: the resource monitor for registrations, and the log for messages."""

from collections.abc import Callable
from typing import TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc

from tests.infra.simulation.cloud import RejectedError
from tests.infra.simulation.engine import Deployment
from tests.infra.simulation.provider import call_or_abort
from tests.infra.simulation.state import State, goal_of, unsupported_options
from tests.infra.simulation.wire import from_struct, to_struct

_Result = TypeVar("_Result")


class ResourceMonitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Hands registrations to the deployment. The program raises an exception for a rejection."""

    def __init__(self, deployment: Deployment, *, project: str, stack: str) -> None:
        self._deployment = deployment
        self._project, self._stack = project, stack

    def GetDeploymentInfo(self, request: Empty, context: grpc.ServicerContext) -> resource_pb2.DeploymentInfo:
        features = [resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS, resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS]
        return resource_pb2.DeploymentInfo(supportedFeatures=features)

    def RegisterResource(
        self, request: resource_pb2.RegisterResourceRequest, context: grpc.ServicerContext
    ) -> resource_pb2.RegisterResourceResponse:
        state = call_or_abort(context, lambda: self._register(request))
        return resource_pb2.RegisterResourceResponse(urn=state.goal.urn, id=state.id, object=to_struct(state.outputs))

    def RegisterResourceOutputs(
        self, request: resource_pb2.RegisterResourceOutputsRequest, context: grpc.ServicerContext
    ) -> Empty:
        self._deployment.outputs[request.urn] = from_struct(request.outputs)
        return Empty()

    def Invoke(
        self, request: resource_pb2.ResourceInvokeRequest, context: grpc.ServicerContext
    ) -> resource_pb2.ResourceInvokeResponse:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{request.tok} is rejected: a function could return a key")
        raise RejectedError(request.tok)

    def SignalAndWaitForShutdown(self, request: Empty, context: grpc.ServicerContext) -> Empty:
        return Empty()

    def _register(self, request: resource_pb2.RegisterResourceRequest) -> State:
        if options := unsupported_options(request):
            raise RejectedError(f"{request.name}: {', '.join(options)} is not simulated")
        goal = goal_of(request, project=self._project, stack=self._stack)
        return call_provider(lambda: self._deployment.register(goal))


class EngineLog(engine_pb2_grpc.EngineServicer):
    """Collects the warnings and errors that the program logs."""

    def __init__(self) -> None:
        self.messages = list[str]()

    def Log(self, request: engine_pb2.LogRequest, context: grpc.ServicerContext) -> Empty:
        if request.severity >= engine_pb2.WARNING:
            self.messages.append(request.message)
        return Empty()


def call_provider(function: Callable[[], _Result]) -> _Result:
    """Return the function's result. Raises a provider's rejection as `RejectedError` with the same message."""
    try:
        return function()
    except grpc.RpcError as failure:
        raise RejectedError(str(failure.details())) from failure
