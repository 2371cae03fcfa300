"""The engine's two services that a program speaks with: one takes its registrations and calls, one its messages."""

from collections.abc import Callable
from typing import TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc

from tests.infra.simulation.cloud import Refused
from tests.infra.simulation.engine import Deployment
from tests.infra.simulation.provider import answered
from tests.infra.simulation.state import State, goal, not_simulated
from tests.infra.simulation.wire import from_struct, to_struct

_Answer = TypeVar("_Answer")


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Takes what the program registers. What is refused here is raised in the program."""

    def __init__(self, deployment: Deployment, *, project: str, stack: str) -> None:
        self._deployment = deployment
        self._project, self._stack = project, stack

    def GetDeploymentInfo(self, request: Empty, context: grpc.ServicerContext) -> resource_pb2.DeploymentInfo:
        features = [resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS, resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS]
        return resource_pb2.DeploymentInfo(supportedFeatures=features)

    def RegisterResource(
        self, request: resource_pb2.RegisterResourceRequest, context: grpc.ServicerContext
    ) -> resource_pb2.RegisterResourceResponse:
        made = answered(context, lambda: self._registered(request))
        return resource_pb2.RegisterResourceResponse(urn=made.goal.urn, id=made.id, object=to_struct(made.outputs))

    def RegisterResourceOutputs(
        self, request: resource_pb2.RegisterResourceOutputsRequest, context: grpc.ServicerContext
    ) -> Empty:
        self._deployment.outputs[request.urn] = from_struct(request.outputs)
        return Empty()

    def Invoke(
        self, request: resource_pb2.ResourceInvokeRequest, context: grpc.ServicerContext
    ) -> resource_pb2.ResourceInvokeResponse:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{request.tok} is not called here: it could return a key")
        raise Refused(request.tok)

    def SignalAndWaitForShutdown(self, request: Empty, context: grpc.ServicerContext) -> Empty:
        return Empty()

    def _registered(self, request: resource_pb2.RegisterResourceRequest) -> State:
        if lacking := not_simulated(request):
            raise Refused(f"{request.name}: {', '.join(lacking)} is not simulated")
        wanted = goal(request, project=self._project, stack=self._stack)
        return told(lambda: self._deployment.register(wanted))


class Messages(engine_pb2_grpc.EngineServicer):
    """Takes the warnings and errors that the program logs."""

    def __init__(self) -> None:
        self.logged = list[str]()

    def Log(self, request: engine_pb2.LogRequest, context: grpc.ServicerContext) -> Empty:
        if request.severity >= engine_pb2.WARNING:
            self.logged.append(request.message)
        return Empty()


def told(verb: Callable[[], _Answer]) -> _Answer:
    """What the verb returns, a provider's refusal told in its own words."""
    try:
        return verb()
    except grpc.RpcError as failure:
        raise Refused(str(failure.details())) from failure
