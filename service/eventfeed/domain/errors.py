"""What can go wrong, one class for each reaction a caller may have.

Failure                       code
├── Refused                   the request is wrong and stays wrong
│   ├── InvalidRequest        invalid-request       correct the parameters named
│   ├── InvalidEvent          invalid-event         correct the events named
│   ├── InvalidCursor         invalid-cursor        start from another place
│   ├── CursorExpired         cursor-expired        go on from the oldest cursor, knowing what was missed
│   ├── CursorOfAnotherLog    cursor-of-another-log start again in this log
│   ├── EventConflict         event-conflict        give the changed event an id of its own
│   └── TooLarge              too-large             send less at once
├── Unauthenticated           unauthenticated       get a valid token
├── Forbidden                                       get the right
│   ├── InsufficientScope     insufficient-scope
│   ├── NotApproved           not-approved
│   └── ForeignSource         foreign-source
├── NotThroughGateway         not-through-the-gateway   ask where the service is to be found
├── TooManyRequests           too-many-requests     slow down
└── Unavailable               unavailable           try again after a while
    ├── TailMoved             another writer was faster: learn the new tail, append again
    ├── OutcomeUnknown        an append may or may not be in: look it up
    └── LogDamaged            the log contradicts itself: stop serving it
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing wrong with a request, and where: a parameter's name or a JSON pointer (RFC 6901) into the body."""

    detail: str
    parameter: str | None = None
    pointer: str | None = None


class Failure(Exception):  # noqa: N818  # the tree above names reactions, not errors
    """Anything a caller is told about. `code` is contract, the message is for people."""

    code: ClassVar[str]


class Refused(Failure):
    """The same request would be refused again. `faults` names everything wrong with it."""

    code = "refused"

    def __init__(self, detail: str, *, faults: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.faults = tuple(faults)


class InvalidRequest(Refused):
    """Parameters or a body that cannot be understood."""

    code = "invalid-request"


class InvalidEvent(Refused):
    """An event that is no CloudEvent, or contradicts its own source."""

    code = "invalid-event"


class InvalidCursor(Refused):
    """A place that does not exist in this feed: malformed, ahead of the log, or an unknown event id."""

    code = "invalid-cursor"


class CursorExpired(Refused):
    """A place that retention has passed. `oldest` is where reading can start, `oldest_time` what is there."""

    code = "cursor-expired"

    def __init__(self, *, oldest: str, oldest_time: int | None) -> None:
        super().__init__(f"The events after this cursor are no longer kept; the oldest cursor is {oldest}.")
        self.oldest, self.oldest_time = oldest, oldest_time


class CursorOfAnotherLog(Refused):
    """A place in a log that this is not: the store was restored or replaced."""

    code = "cursor-of-another-log"


class EventConflict(Refused):
    """An identity that already stands for other content."""

    code = "event-conflict"


class TooLarge(Refused):
    """An event or a request over its limit."""

    code = "too-large"


class Unauthenticated(Failure):
    """No token, or one that proves nothing. `presented` tells whether there was one."""

    code = "unauthenticated"

    def __init__(self, detail: str, *, presented: bool = True) -> None:
        super().__init__(detail)
        self.presented = presented


class Forbidden(Failure):
    """A known caller without the right. `scope` would give it, unless it is None."""

    code = "forbidden"

    def __init__(self, detail: str, *, scope: str | None = None, faults: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.scope, self.faults = scope, tuple(faults)


class InsufficientScope(Forbidden):
    """The token carries no scope for this."""

    code = "insufficient-scope"


class NotApproved(Forbidden):
    """An organisation that no valid approval lets read these types for every party."""

    code = "not-approved"


class ForeignSource(Forbidden):
    """A publisher that speaks for an organisation or an instance that is not its own."""

    code = "foreign-source"


class NotThroughGateway(Failure):
    """A request that nothing shows to have come through the gateway."""

    code = "not-through-the-gateway"


class TooManyRequests(Failure):
    """Asked too often. The next request is welcome after `retry_seconds`."""

    code = "too-many-requests"

    def __init__(self, detail: str, *, retry_seconds: int) -> None:
        super().__init__(detail)
        self.retry_seconds = retry_seconds


class Unavailable(Failure):
    """Nothing is wrong with the request: the same one may succeed after `retry_seconds`."""

    code = "unavailable"

    def __init__(self, detail: str, *, retry_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_seconds = retry_seconds


class TailMoved(Unavailable):
    """Another writer appended first. Learn the new tail, then try again."""

    def __init__(self, *, expected: int, actual: int) -> None:
        super().__init__(f"the log ends at {actual}, not {expected}")
        self.expected, self.actual = expected, actual


class OutcomeUnknown(Unavailable):
    """The store did not say whether an append happened. Only looking tells."""


class LogDamaged(Unavailable):
    """A hole, or an end before the recorded one: nothing may be served or appended until it is explained."""
