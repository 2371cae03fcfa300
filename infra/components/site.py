"""What almost every component is told: where to be made, for which stack, by whom it is looked at, in which network."""

from dataclasses import dataclass

from components.network import Network
from components.observability import Observability
from components.place import Place
from stack import Stack


@dataclass(frozen=True, kw_only=True)
class Site:
    """The ground that components stand on. Only production has a network."""

    place: Place
    stack: Stack
    observability: Observability
    network: Network | None
