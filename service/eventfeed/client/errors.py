"""Errors that need a decision by a person. The client retries everything that is temporary.

FeedError
├── UnreachableError        no service at this address, or no attempt is left
├── RefusedError            the service refused the request; `code` says why
│   ├── CursorExpiredError  events were missed: recover them, then continue from `oldest_cursor`
│   └── AnotherLogError     the log was restored or replaced: start again
├── OutOfOrderError         the service broke its contract: stop, and report it
└── EventsRejectedError     some events were not published; the others were
"""

from collections.abc import Mapping, Sequence

import msgspec

from eventfeed.client.receipts import Fault, Receipt, Rejection
from eventfeed.client.steps import Response


class FeedError(Exception):
    """The client cannot continue by itself."""


class UnreachableError(FeedError):
    """No service answers."""


class RefusedError(FeedError):
    """The service refused a request to `path`: HTTP status, error code, faults, and the whole problem (RFC 9457)."""

    def __init__(self, path: str, status: int, *, problem: Mapping[str, object]) -> None:
        self.path, self.status, self.problem = path, status, problem
        self.code = str(problem.get("code", ""))
        self.detail = str(problem.get("detail", "")) or f"status {status}"
        self.faults = _faults(problem)
        code = f" {self.code}" if self.code else ""
        super().__init__(" ".join([f"{status}{code}: {self.detail}", *(f"[{fault}]" for fault in self.faults)]))


class CursorExpiredError(RefusedError):
    """The events after the cursor are no longer kept. Recover them, then continue from `oldest_cursor`."""

    def __init__(self, path: str, status: int, *, problem: Mapping[str, object]) -> None:
        super().__init__(path, status, problem=problem)
        self.oldest_cursor = str(problem.get("oldestCursor", ""))


class AnotherLogError(RefusedError):
    """The cursor belongs to another log: the store was restored or replaced."""


class OutOfOrderError(FeedError):
    """A sequence number does not increase."""


class EventsRejectedError(FeedError):
    """Some events were not published: `rejections` names each by its position. `receipts` are those of the others."""

    def __init__(self, rejections: Sequence[Rejection], receipts: Sequence[Receipt]) -> None:
        self.rejections, self.receipts = rejections, receipts
        reasons = (f"event {rejection.position}: {rejection}" for rejection in rejections)
        super().__init__("\n".join([f"{len(rejections)} events were rejected, {len(receipts)} published.", *reasons]))


_KINDS = {"cursor-expired": CursorExpiredError, "cursor-of-another-log": AnotherLogError}


def refusal(path: str, response: Response) -> RefusedError:
    """Return the error for a response that is no success. The problem's own status overrides the response's."""
    try:
        problem = msgspec.json.decode(response.body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = {}
    status = problem.get("status")
    kind = _KINDS.get(str(problem.get("code")), RefusedError)
    return kind(path, status if isinstance(status, int) else response.status, problem=problem)


def _faults(problem: Mapping[str, object]) -> Sequence[Fault]:
    try:
        return msgspec.convert(problem.get("errors", []), list[Fault])
    except msgspec.ValidationError:
        return []
