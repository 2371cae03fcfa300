"""Results of publishing: receipts, rejections, and the faults that explain a rejection."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Proof that an event is durable. `time` is its time of registration (RFC 3339).

    `duplicate` is true if the event was in the log already: then it is the receipt of the first time.
    """

    id: str
    source: str
    sequence: int
    time: str
    duplicate: bool


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of a request; `pointer` (RFC 6901) or `parameter` names the part that is wrong."""

    detail: str
    pointer: str = ""
    parameter: str = ""

    def __str__(self) -> str:
        return f"{self.parameter or self.pointer} {self.detail}".strip()


class Rejection(NamedTuple):
    """An event that was not published: its position among the events, from 0, the error code, and its faults."""

    position: int
    code: str
    faults: Sequence[Fault]

    def __str__(self) -> str:
        return "; ".join(str(fault).removeprefix("/") for fault in self.faults)


class Batch(NamedTuple):
    """The result for the events at these positions. Receipts are in their order, without the rejected events."""

    positions: range
    receipts: list[Receipt]
    rejections: list[Rejection]
