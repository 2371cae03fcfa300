"""Failures: one class for each reaction that a caller may have.

Failure                       code
├── Refused                   the request is wrong and stays wrong
│   ├── InvalidRequest        invalid-request       correct the parameters named
│   ├── InvalidEvent          invalid-event         correct the events named
│   ├── InvalidCursor         invalid-cursor        start from another cursor
│   ├── CursorExpired         cursor-expired        go on from the oldest cursor; the events between are lost here
│   ├── CursorOfAnotherLog    cursor-of-another-log start again in this log
│   ├── EventConflict         event-conflict        give the changed event an id of its own
│   └── TooLarge              too-large             send less at once
├── Unauthenticated           unauthenticated       get a valid token
├── Forbidden                                       get the right
│   ├── InsufficientScope     insufficient-scope
│   ├── NotApproved           not-approved
│   └── ForeignSource         foreign-source
├── NotThroughGateway         not-through-the-gateway   use the public address of the service
├── TooManyRequests           too-many-requests     slow down
└── Unavailable               unavailable           try again after a while
    ├── TailMoved             another writer appended first: read the new tail, append again
    ├── NotDone               the store certainly did nothing: wait as long as it asks, and repeat
    │   └── StoreAway         no request is sent for now: fail at once, or serve what is in memory
    ├── OutcomeUnknown        a write may or may not be done: read the positions
    ├── StoreUnusable         the store takes nothing until its fault is removed: fail, do not try again
    │   └── ImportUnfinished  the log is a part of an import or a copy: run that command again
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
    """A failure that a caller sees. `code` is part of the contract, the message is for people."""

    code: ClassVar[str]

    def __init_subclass__(cls, *, code: str | None = None) -> None:
        """Set the code of a class, which its subclasses inherit."""
        cls.code = code or cls.code


class Refused(Failure, code="refused"):
    """The same request would be refused again. `faults` lists everything wrong with it."""

    def __init__(self, detail: str, *, faults: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.faults = tuple(faults)


class InvalidRequest(Refused, code="invalid-request"):
    """Parameters or a body that cannot be understood."""


class InvalidEvent(Refused, code="invalid-event"):
    """An event that is no CloudEvent, or contradicts its own source."""


class InvalidCursor(Refused, code="invalid-cursor"):
    """A cursor that is malformed, ahead of the log, or an event id that this feed does not have."""

    def __init__(self, detail: str, *, fault: str, parameter: str = "after") -> None:
        super().__init__(detail, faults=[Fault(parameter=parameter, detail=fault)])
        self._fault = fault

    def named(self, parameter: str) -> "InvalidCursor":
        """Return the error for the name by which the client has sent the cursor."""
        return InvalidCursor(str(self), fault=self._fault, parameter=parameter)


class CursorExpired(Refused, code="cursor-expired"):
    """A cursor older than the retention. Reading can start at `oldest`, whose event has `oldest_time`."""

    def __init__(self, *, oldest: str, oldest_time: int | None) -> None:
        super().__init__(f"The events after this cursor are no longer kept; the oldest cursor is {oldest}.")
        self.oldest, self.oldest_time = oldest, oldest_time


class CursorOfAnotherLog(Refused, code="cursor-of-another-log"):
    """A cursor of another log: the store was restored or replaced."""


class EventConflict(Refused, code="event-conflict"):
    """An identity that belongs to an event with other content."""


class TooLarge(Refused, code="too-large"):
    """An event or a request over its limit."""


class Unauthenticated(Failure, code="unauthenticated"):
    """No token, or an invalid one. `has_token` is true if the request carried one."""

    def __init__(self, detail: str, *, has_token: bool = True) -> None:
        super().__init__(detail)
        self.has_token = has_token


class Forbidden(Failure, code="forbidden"):
    """An authenticated caller without the right. `scope` names the scope that gives it, if one does."""

    def __init__(self, detail: str, *, scope: str | None = None, faults: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.scope, self.faults = scope, tuple(faults)


class InsufficientScope(Forbidden, code="insufficient-scope"):
    """The token lacks the scope."""


class NotApproved(Forbidden, code="not-approved"):
    """An organisation without a valid approval for these types."""


class ForeignSource(Forbidden, code="foreign-source"):
    """An event about an app, an instance or a resource that is not the publisher's to send."""


class NotThroughGateway(Failure, code="not-through-the-gateway"):
    """A request without proof that it came through the gateway."""


class TooManyRequests(Failure, code="too-many-requests"):
    """Too many requests. The next one is accepted after `retry_seconds`."""

    def __init__(self, detail: str, *, retry_seconds: int) -> None:
        super().__init__(detail)
        self.retry_seconds = retry_seconds


class Unavailable(Failure, code="unavailable"):
    """A temporary failure: the same request may succeed after `retry_seconds`."""

    def __init__(self, detail: str, *, retry_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_seconds = retry_seconds


class TailMoved(Unavailable):
    """Another writer appended first. Read the new tail, then try again."""

    def __init__(self, *, expected: int, actual: int) -> None:
        super().__init__(f"the log ends at {actual}, not {expected}")
        self.expected, self.actual = expected, actual


class NotDone(Unavailable):
    """The store certainly did nothing. `retry_seconds` is its own, the detail has the status that it responded with."""


class StoreAway(NotDone):
    """Nothing was sent: the store does not respond, or has asked this process to wait."""


class OutcomeUnknown(Unavailable):
    """The store did not confirm a write, which may be done. A read has no such outcome."""


class StoreUnusable(Unavailable):
    """A lost file, a full disk, a lock: no append succeeds until the cause is removed. Repeating a publish is safe."""


class ImportUnfinished(StoreUnusable):
    """An import or a copy into the log has begun and not ended, so no service may use it."""

    def __init__(self) -> None:
        super().__init__(
            "An import or a copy into this store has not ended. Run the same command again: eventfeed migrate, or "
            "eventfeed store copy."
        )


class LogDamaged(Unavailable):
    """A gap in the log, or an end before the recorded one: no reads or appends until an operator has explained it."""
