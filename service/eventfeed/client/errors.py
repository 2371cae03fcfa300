"""What a consumer must decide on; everything that passes by itself is waited for instead.

FeedError
├── Unreachable     nobody answers there: the address is wrong, or patience has ended
├── Refused         the service said no; `code` tells why
│   ├── CursorExpired   events were missed: recover them, go on from `oldest_cursor`
│   └── AnotherLog      the log was restored or replaced: start again
└── OutOfOrder      the service broke its promise: stop, and tell whoever runs it
"""

from collections.abc import Mapping

import msgspec

from eventfeed.client.steps import Answer


class FeedError(Exception):
    """Anything that a consumer cannot go on from by itself."""


class UnreachableError(FeedError):
    """Nobody answers."""


class RefusedError(FeedError):
    """The service refused what was asked of `path`: HTTP's `status`, its own `code` and `problem` (RFC 9457)."""

    def __init__(self, path: str, status: int, *, problem: Mapping[str, object]) -> None:
        self.path, self.status, self.problem = path, status, problem
        self.code = str(problem.get("code", ""))
        self.detail = str(problem.get("detail", "")) or f"answered with status {status}"
        super().__init__(f"{status} {self.code}: {self.detail}" if self.code else f"{status}: {self.detail}")


class CursorExpiredError(RefusedError):
    """What came after the cursor is no longer kept. Recover it, then go on from `oldest_cursor`."""

    def __init__(self, path: str, status: int, *, problem: Mapping[str, object]) -> None:
        super().__init__(path, status, problem=problem)
        self.oldest_cursor = str(problem.get("oldestCursor", ""))


class AnotherLogError(RefusedError):
    """The cursor belongs to another log: the store was restored or replaced."""


class OutOfOrderError(FeedError):
    """A sequence that does not rise."""


_KINDS = {"cursor-expired": CursorExpiredError, "cursor-of-another-log": AnotherLogError}


def refusal(path: str, answer: Answer) -> RefusedError:
    """What an answer that is no success means. The problem's own status counts more than the answer's."""
    try:
        problem = msgspec.json.decode(answer.body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = {}
    own = problem.get("status")
    kind = _KINDS.get(str(problem.get("code")), RefusedError)
    return kind(path, own if isinstance(own, int) else answer.status, problem=problem)
