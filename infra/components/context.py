"""The arguments that almost every component shares: resource group, configuration, observability and network."""

from dataclasses import dataclass

from components.network import Network
from components.observability import Observability
from components.resource_group import ResourceGroup
from stack import Stack


@dataclass(frozen=True, kw_only=True)
class Context:
    """The stack and the resources that other components are created in. Only production has a network."""

    group: ResourceGroup
    stack: Stack
    observability: Observability
    network: Network | None
