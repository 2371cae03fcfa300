"""The meaning of errors of Cosmos DB: a table of its statuses, with what is known of the request after each."""

import enum
from http import HTTPStatus

from aiohttp import ClientError
from azure.core.exceptions import AzureError
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

# Errors of a request in the SDK, in its HTTP client and in the operating system.
REQUEST_ERRORS = (AzureError, ClientError, TimeoutError, OSError)

# Sub-status of 404: this replica lacks what the session has read; another one has it, or this one soon.
_SESSION_NOT_AVAILABLE = 1002
_RETRY_WITH = 449
_CONFLICTS = frozenset({HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED})
# Too many requests, or a write that met another one.
_WAITS = frozenset({HTTPStatus.TOO_MANY_REQUESTS, _RETRY_WITH})
# The request is wrong, the identity may not send it, the container does not exist, or its partition is full.
_REFUSALS = frozenset({400, 401, 403, 404, 413})
# A read may have a result later.
_TRANSIENT = frozenset({None, 408, 410, 500, 502, 503, 504})


class Kind(enum.Enum):
    """The kind of a request. An idempotent write may be done more than once."""

    READ = "reads"
    WRITE = "writes"
    IDEMPOTENT_WRITE = "idempotent writes"

    @property
    def pause_kind(self) -> "Kind":
        """The kind that the store pauses: reads, or all writes."""
        return Kind.READ if self is Kind.READ else Kind.WRITE


class Outcome(enum.Enum):
    """The state of a request after a failed attempt."""

    CONFLICT = enum.auto()  # not done: the document exists, or has changed
    REFUSAL = enum.auto()  # not done, and a retry would fail as well
    WAIT = enum.auto()  # not done: the store has too many requests
    UNKNOWN = enum.auto()  # perhaps done; a read has no effect and is repeated


def outcome_of(error: Exception, kind: Kind) -> Outcome:
    """Return what is known of a request after this error."""
    status = status_of(error)
    if status in _CONFLICTS:
        return Outcome.CONFLICT
    if status in _WAITS:
        return Outcome.WAIT
    if kind is Kind.READ:
        return Outcome.UNKNOWN if status in _TRANSIENT or _is_stale(error) else Outcome.REFUSAL
    return Outcome.REFUSAL if status in _REFUSALS else Outcome.UNKNOWN


def status_of(error: Exception) -> int | None:
    """Return the status of the store's response, None if there was none."""
    return error.status_code if isinstance(error, CosmosHttpResponseError | CosmosBatchOperationError) else None


def retry_after_of(error: Exception) -> float:
    """Return the time (s) that the store asks a caller to wait, 0 without one."""
    headers = getattr(error, "headers", None) or {}
    try:
        return float(headers.get("x-ms-retry-after-ms", 0)) / 1000
    except ValueError:
        return 0.0


def reason_of(error: Exception) -> str:
    """Return the status, or the class of the error. An SDK's message may contain values of the request."""
    status, sub_status = status_of(error), getattr(error, "sub_status", None)
    if status is None:
        return type(error).__name__
    return f"status {status}/{sub_status}" if sub_status else f"status {status}"


def _is_stale(error: Exception) -> bool:
    return status_of(error) == HTTPStatus.NOT_FOUND and getattr(error, "sub_status", None) == _SESSION_NOT_AVAILABLE
