"""What following a feed consists of, with nothing done yet: a driver does each step and hands back what came of it."""

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from eventfeed.client.events import Event


class Request(NamedTuple):
    """Ask the service: a path with its query. `seconds` is how long to wait for a next byte, `streaming` for a stream.

    Gives an `Answer`, or `Opened` when a stream was asked for and there is one, or `Broken`.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    content: bytes = b""
    seconds: float = 30.0
    streaming: bool = False


class More(NamedTuple):
    """Take what has come of the stream that is open. Gives bytes, none at its end, or `Broken`."""


class Pause(NamedTuple):
    """Wait for so long. Gives nothing."""

    seconds: float


class Call(NamedTuple):
    """Call a function of the consumer's. Gives what it gives."""

    function: "Callable[[], str | Awaitable[str]]"


class Page(NamedTuple):
    """Hand events to the consumer, and the cursor after them; there may be none, while the cursor has moved."""

    events: Sequence[Event]
    cursor: str
    more: bool = True


class Answer(NamedTuple):
    """A whole answer; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def success(self) -> bool:
        """Whether it is one."""
        return self.status in range(200, 300)


class Opened(NamedTuple):
    """A stream is open."""


class Broken(NamedTuple):
    """No answer, or a connection that broke.

    `silent` when it was open and nothing came for too long; `refused` when there was no connection at all.
    """

    reason: str
    silent: bool = False
    refused: bool = False


Step = Request | More | Pause | Call | Page
Outcome = Answer | Opened | Broken | bytes | str | None
T = TypeVar("T")
Steps = Generator[Step, Outcome, T]
