"""A driver of steps without I/O: it sends back outcomes from a list, and records each step."""

import json
from collections.abc import Sequence
from typing import Generic, NamedTuple

from eventfeed.client.steps import (
    Call,
    ConnectionFailure,
    Item,
    Outcome,
    Page,
    Pause,
    ReadChunk,
    Request,
    Response,
    Steps,
    StreamStart,
)

LOG = "abcdefghijkl"


class Run(NamedTuple, Generic[Item]):
    """Requests, pauses (s), items and the error of a run. `is_complete`: the steps ended before the outcomes."""

    requests: Sequence[Request]
    pauses: Sequence[float]
    items: Sequence[Item]
    error: Exception | None
    is_complete: bool

    @property
    def queries(self) -> list[str]:
        """The query of each request."""
        return [request.target.partition("?")[2] for request in self.requests]

    @property
    def tokens(self) -> list[str]:
        """The authorization of each request."""
        return [request.headers["Authorization"] for request in self.requests]


def run_steps(steps: Steps[Item, None], *outcomes: Outcome) -> Run[Item]:
    """Execute steps until they end or no outcome is left."""
    queue, requests, pauses, items = list(outcomes), list[Request](), list[float](), list[Item]()
    outcome: Outcome = None
    try:
        while True:
            step = steps.send(outcome)
            outcome = None
            match step:
                case Pause(seconds):
                    pauses.append(seconds)
                case Call(function):
                    outcome = str(function())
                case Request() | ReadChunk():
                    requests += [step] if isinstance(step, Request) else []
                    if not queue:
                        steps.close()
                        return Run(requests, pauses, items, error=None, is_complete=False)
                    outcome = queue.pop(0)
                case item:
                    items.append(item)
    except StopIteration:
        return Run(requests, pauses, items, error=None, is_complete=True)
    except Exception as failure:  # noqa: BLE001  # the tests check it
        return Run(requests, pauses, items, error=failure, is_complete=True)


def sequences(run: Run[Page]) -> list[int]:
    """Return the sequence of each event of a run."""
    return [event.sequence for page in run.items for event in page.events]


def event_json(sequence: int) -> dict[str, object]:
    """Return an event as the service returns it."""
    return {
        "id": f"event-{sequence}",
        "source": "https://x",
        "type": "t",
        "specversion": "1.0",
        "sequence": f"{sequence:020d}",
        "data": {"n": sequence},
    }


def page(*sequences: int, cursor: int, more: bool = False, **headers: str) -> Response:
    """Return a page with these events, up to a position."""
    body = json.dumps([event_json(each) for each in sequences]).encode()
    defaults = {"feed-cursor": f"{LOG}.{cursor}", "feed-more": "true" if more else "false", "etag": f'"{cursor}"'}
    return Response(200, {**defaults, **{name.replace("_", "-"): value for name, value in headers.items()}}, body)


def problem(status: int, code: str, **members: object) -> Response:
    """Return a refusal; `retry_after` is its header."""
    headers = {"retry-after": str(members.pop("retry_after"))} if "retry_after" in members else {}
    body = {"status": status, "code": code, "detail": "no", **members}
    return Response(status, headers, json.dumps(body).encode())


def message(sequence: int) -> bytes:
    """Return an event of a stream."""
    return f"id: {LOG}.{sequence}\ndata: {json.dumps(event_json(sequence))}\n\n".encode()


def heartbeat(position: int) -> bytes:
    """Return a heartbeat with a position."""
    return f": heartbeat\nid: {LOG}.{position}\n\n".encode()


def end(position: int, response: Response) -> bytes:
    """Return the last message of a stream."""
    return b"id: %b.%d\nevent: end\ndata: %b\n\n" % (LOG.encode(), position, response.body)


STREAM, STREAM_END = StreamStart({}), b""
NO_CONNECTION, SILENCE = (
    ConnectionFailure("refused", is_connect_failure=True),
    ConnectionFailure("timed out", is_timeout=True),
)
