"""Steps of reading and publishing, without I/O: a driver executes each step and sends back its outcome."""

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from eventfeed.client.events import Event


class Request(NamedTuple):
    """An HTTP request to the service; `target` is the path with its query.

    `timeout_seconds` bounds the wait for the next bytes; `is_stream` asks for an event stream. The outcome is a
    `Response`, a `StreamStart` when an event stream begins, or a `ConnectionFailure`.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    content: bytes = b""
    timeout_seconds: float = 30.0
    is_stream: bool = False


class ReadChunk(NamedTuple):
    """Read the next chunk of the stream. The outcome is bytes, empty at the end, or a `ConnectionFailure`."""


class Pause(NamedTuple):
    """Wait for this time. The outcome is None."""

    seconds: float


class Call(NamedTuple):
    """Call a function of the application. The outcome is its result."""

    function: "Callable[[], str | Awaitable[str]]"


class Page(NamedTuple):
    """Events, and the cursor after them. There may be no events, if only the cursor has moved."""

    events: Sequence[Event]
    cursor: str
    more: bool = True


class Response(NamedTuple):
    """A complete response; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """True if the status is 2xx."""
        return self.status in range(200, 300)


class StreamStart(NamedTuple):
    """The head of a response whose body is an event stream; the names of headers are in lower case."""

    headers: Mapping[str, str]


class ConnectionFailure(NamedTuple):
    """A request without a response, or a broken connection.

    `is_timeout`: the connection was open, but no bytes came. `is_connect_failure`: there was no connection at all.
    """

    reason: str
    is_timeout: bool = False
    is_connect_failure: bool = False


Item = TypeVar("Item")
Result = TypeVar("Result")
Action = Request | ReadChunk | Pause | Call
Outcome = Response | StreamStart | ConnectionFailure | bytes | str | None
# Steps that return a value, and steps that also yield items to the caller.
Actions = Generator[Action, Outcome, Result]
Steps = Generator[Action | Item, Outcome, Result]
