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
        self.code, self.detail = _text(problem, "code"), _text(problem, "detail") or f"status {status}"
        self.faults = _faults(problem)
        code = f" {self.code}" if self.code else ""
        super().__init__(" ".join([f"{status}{code}: {self.detail}", *(f"[{fault}]" for fault in self.faults)]))


class CursorExpiredError(RefusedError):
    """The events after the cursor are no longer kept. Recover them, then continue from `oldest_cursor`."""

    def __init__(self, path: str, status: int, *, problem: Mapping[str, object]) -> None:
        super().__init__(path, status, problem=problem)
        self.oldest_cursor = _text(problem, "oldestCursor")


class AnotherLogError(RefusedError):
    """The cursor belongs to another log: the store was restored or replaced."""


class OutOfOrderError(FeedError):
    """A sequence number does not increase, or a cursor does not move."""


class EventsRejectedError(FeedError):
    """Some events were not published: `rejections` names each by its position. `receipts` are those of the others."""

    def __init__(self, rejections: Sequence[Rejection], receipts: Sequence[Receipt]) -> None:
        self.rejections, self.receipts = rejections, receipts
        reasons = (f"event {rejection.position}: {rejection}" for rejection in rejections)
        super().__init__("\n".join([f"Events rejected: {len(rejections)}, published: {len(receipts)}.", *reasons]))


_STATUS_GONE = 410
_KINDS = {"cursor-expired": CursorExpiredError, "cursor-of-another-log": AnotherLogError}
# An error is for people: longer texts and lists are cut.
_TEXT_LENGTH_MAX, _FAULTS_MAX = 1_000, 100


def refusal(path: str, response: Response) -> RefusedError:
    """Return the error for a response that is no success."""
    problem = problem_of(response.body)
    if response.status in range(300, 400) and "location" in response.headers:
        target = response.headers["location"].partition("?")[0]
        problem = {"detail": f"redirects to {target[:_TEXT_LENGTH_MAX]}, which is not followed"}
    kind = _KINDS.get(_text(problem, "code")) if response.status == _STATUS_GONE else None
    return (kind or RefusedError)(path, response.status, problem=problem)


def problem_of(body: bytes) -> Mapping[str, object]:
    """Return the problem (RFC 9457) in a body; no members if there is none."""
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (ValueError, RecursionError):
        return {}


def _text(problem: Mapping[str, object], name: str) -> str:
    """Return a member of a problem; "" if it is no text."""
    value = problem.get(name)
    return value[:_TEXT_LENGTH_MAX] if isinstance(value, str) else ""


def _faults(problem: Mapping[str, object]) -> Sequence[Fault]:
    try:
        return msgspec.convert(problem.get("errors", []), list[Fault])[:_FAULTS_MAX]
    except msgspec.ValidationError:
        return []
