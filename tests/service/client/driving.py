"""A driver of steps that does nothing: it answers each question from a list, and notes everything."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from eventfeed.client.steps import Answer, Broken, Call, More, Opened, Outcome, Page, Pause, Request, Step, Steps

LOG = "abcdefghijkl"


class Driven(NamedTuple):
    """What steps came to: everything asked, waited (s) and handed on, and what was raised, if anything."""

    asked: Sequence[Request]
    waited: Sequence[float]
    pages: Sequence[Page]
    raised: Exception | None
    ended: bool

    @property
    def seen(self) -> list[int]:
        """The sequences handed on."""
        return [event.sequence for page in self.pages for event in page.events]

    @property
    def targets(self) -> list[str]:
        """What was asked: the query of each request."""
        return [request.target.partition("?")[2] for request in self.asked]


def driven(steps: Steps[None], *outcomes: Outcome) -> Driven:
    """Do the steps until the outcomes are used up, or they end."""
    left, asked, waited, pages = list(outcomes), list[Request](), list[float](), list[Page]()
    outcome: Outcome = None
    try:
        while True:
            step: Step = steps.send(outcome)
            outcome = None
            match step:
                case Page():
                    pages.append(step)
                case Pause(seconds):
                    waited.append(seconds)
                case Call(function):
                    outcome = str(function())
                case Request() | More():
                    asked += [step] if isinstance(step, Request) else []
                    if not left:
                        steps.close()
                        return Driven(asked, waited, pages, raised=None, ended=False)
                    outcome = left.pop(0)
    except StopIteration:
        return Driven(asked, waited, pages, raised=None, ended=True)
    except Exception as failure:  # noqa: BLE001  # that is what is tested
        return Driven(asked, waited, pages, raised=failure, ended=True)


def served(sequence: int) -> dict[str, object]:
    """An event as the service prints it."""
    return {
        "id": f"event-{sequence}",
        "source": "https://x",
        "type": "t",
        "specversion": "1.0",
        "sequence": f"{sequence:020d}",
        "data": {"n": sequence},
    }


def page(*sequences: int, cursor: int, more: bool = False, **headers: str) -> Answer:
    """A page with these events, up to a position."""
    body = json.dumps([served(each) for each in sequences]).encode()
    told = {"feed-cursor": f"{LOG}.{cursor}", "feed-more": "true" if more else "false", "etag": f'"{cursor}"'}
    return Answer(200, {**told, **{name.replace("_", "-"): value for name, value in headers.items()}}, body)


def problem(status: int, code: str, **more: str) -> Answer:
    """A refusal."""
    headers = {"retry-after": more.pop("retry_after")} if "retry_after" in more else {}
    body = {"status": status, "code": code, "detail": "no", **more}
    return Answer(status, headers, json.dumps(body).encode())


def message(sequence: int) -> bytes:
    """An event of a stream."""
    return f"id: {LOG}.{sequence}\ndata: {json.dumps(served(sequence))}\n\n".encode()


def heartbeat(position: int) -> bytes:
    """A sign of life, and how far there is nothing."""
    return f": so far\nid: {LOG}.{position}\n\n".encode()


def end(position: int, refusal: Answer) -> bytes:
    """The last message of a stream."""
    return b"id: %b.%d\nevent: end\ndata: %b\n\n" % (LOG.encode(), position, refusal.body)


OPEN, CUT, NOBODY, SILENCE = Opened(), b"", Broken("refused", refused=True), Broken("timed out", silent=True)
