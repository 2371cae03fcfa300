"""Publishing events in order, in batches, as steps without sockets or a clock.

An event has an id before it is sent for the first time. A repeat after a lost response is therefore the same event, and
the service returns its first receipt again.
"""

import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from eventfeed.client.errors import EventsRejectedError, FeedError, refusal
from eventfeed.client.receipts import Batch, Fault, Receipt, Rejection
from eventfeed.client.sender import RequestSender
from eventfeed.client.steps import Actions, Request, Response, Steps
from eventfeed.client.tokens import Tokens

# The limits of the service (contract, section 3).
EVENT_BYTES_MAX = 64 * 1024
BATCH_EVENTS_MAX = 100
# The JSON of an event before it is made compact; longer texts are not decoded.
TEXT_BYTES_MAX = 1024 * 1024
BATCH_BYTES_MAX = 2 * 1024 * 1024
# For a batch of the full size over a slow line.
RESPONSE_SECONDS_MAX = 60.0
PATH = "/events/api/v1/events"
_HEADERS = {"Content-Type": "application/cloudevents-batch+json"}
# Refused because of what the events contain.
_REJECTIONS = frozenset({400, 403, 409, 413})
_STATUS_FORBIDDEN = 403
# A fault of the service is reported, not repeated.
_FINAL = frozenset({500})

# The attributes of a CloudEvent, or a JSON object.
EventObject = Mapping[str, object] | bytes


def random_id(_: int) -> str:
    """Return an id for an event that has none."""
    return str(uuid.uuid4())


class _Text(NamedTuple):
    """The JSON of an event, and its position among the events."""

    position: int
    json: bytes


class Publishing:
    """Publishes events. `new_id` returns the id for the event at a position that has none."""

    def __init__(
        self,
        tokens: Tokens,
        *,
        new_id: Callable[[int], str],
        progress: Callable[[int], None] | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._sender = RequestSender(tokens, random=random)
        self._new_id, self._progress = new_id, progress

    def batches(self, events: Iterable[EventObject]) -> Steps[Batch, None]:
        """Publish all events. Raises `FeedError` if the service refuses the publisher or does not answer."""
        for texts, batch in self._drafts(events):
            yield from self._publish(texts, batch)
            if self._progress:
                self._progress(batch.positions.stop)
            yield batch

    def _drafts(self, events: Iterable[EventObject]) -> Iterator[tuple[Sequence[_Text], Batch]]:
        """Yield the texts for each request, and a batch with the rejections that need no request."""
        texts, rejections, start, size, position = list[_Text](), list[Rejection](), 0, 2, -1
        for position, event in enumerate(events):
            text = _encode(event, position, new_id=self._new_id)
            length = len(text) + 1 if isinstance(text, bytes) else 0
            if position - start == BATCH_EVENTS_MAX or size + length > BATCH_BYTES_MAX:
                yield texts, Batch(range(start, position), [], rejections)
                texts, rejections, start, size = [], [], position, 2
            if isinstance(text, bytes):
                texts.append(_Text(position, text))
                size += length
            else:
                rejections.append(text)
        if position >= start:
            yield texts, Batch(range(start, position + 1), [], rejections)

    def _publish(self, texts: Sequence[_Text], batch: Batch) -> Actions[None]:
        """Publish these events; without those that the service rejects, send the rest again."""
        while texts:
            body = b"[%b]" % b",".join(text.json for text in texts)
            request = Request("POST", PATH, _HEADERS, body, timeout_seconds=RESPONSE_SECONDS_MAX)
            response = yield from self._sender.send(request, final=_FINAL)
            if response.is_success:
                batch.receipts.extend(_receipts(response, count=len(texts)))
                return
            rejections = _rejections(response, texts)
            if not rejections:
                for text in texts:  # the response does not name the event: a batch of one does
                    yield from self._publish([text], batch)
                return
            batch.rejections.extend(rejections)
            rejected_positions = {each.position for each in rejections}
            texts = [text for text in texts if text.position not in rejected_positions]


def join_receipts(batches: Iterable[Batch]) -> list[Receipt]:
    """Return the receipts of all batches. Raises `EventsRejectedError` if there are rejections."""
    receipts, rejections = list[Receipt](), list[Rejection]()
    for batch in batches:
        receipts += batch.receipts
        rejections += batch.rejections
    if rejections:
        raise EventsRejectedError(sorted(rejections), receipts)
    return receipts


def _encode(event: EventObject, position: int, *, new_id: Callable[[int], str]) -> bytes | Rejection:
    """Return the JSON of an event, with an id, or the reason why it cannot be sent."""
    if isinstance(event, bytes) and len(event) > TEXT_BYTES_MAX:
        return Rejection(position, "too-large", [Fault(detail=f"has more than {TEXT_BYTES_MAX} bytes")])
    if not isinstance(event, bytes | Mapping):
        detail = f"must be a mapping, or JSON as bytes, and not {type(event).__name__}"
        return Rejection(position, "invalid-event", [Fault(detail=detail)])
    try:
        text = event if isinstance(event, bytes) else msgspec.json.encode(dict(event))
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        msgspec.json.decode(text)  # a `Raw` is not checked inside
    except (TypeError, ValueError, RecursionError) as failure:
        return Rejection(position, "invalid-event", [Fault(detail=f"is not a JSON object: {failure}")])
    if bytes(members.get("id", b"null")) == b"null":
        members["id"] = msgspec.Raw(msgspec.json.encode(new_id(position)))
        text = msgspec.json.encode(members)
    else:  # unchanged, so that the service sees members that are repeated
        text = msgspec.json.format(text, indent=-1)
    if len(text) > EVENT_BYTES_MAX:
        return Rejection(position, "too-large", [Fault(detail=f"has more than {EVENT_BYTES_MAX} bytes")])
    return text


def _receipts(response: Response, *, count: int) -> Sequence[Receipt]:
    try:
        objects = msgspec.json.decode(response.body, type=list[dict[str, object]])
        receipts = [msgspec.convert({**each, "sequence": int(str(each["sequence"]))}, Receipt) for each in objects]
    except (KeyError, ValueError) as failure:
        raise FeedError(f"The response is not a list of receipts: {failure}") from None
    if len(receipts) != count:
        raise FeedError(f"The response has {len(receipts)} receipts for {count} events.")
    return receipts


def _rejections(response: Response, texts: Sequence[_Text]) -> Sequence[Rejection]:
    """Return the events that a response rejects; none if it does not name them. Raises if it is not about events."""
    error = refusal(PATH, response)
    faults = dict[int, list[Fault]]()
    for fault in error.faults:
        index, slash, attribute = fault.pointer.removeprefix("/").partition("/")
        if index.isdecimal() and int(index) < len(texts):
            event_fault = msgspec.structs.replace(fault, pointer=slash + attribute)
            faults.setdefault(int(index), []).append(event_fault)
    if error.status not in _REJECTIONS or (error.status == _STATUS_FORBIDDEN and not faults):
        raise error
    if not faults and len(texts) == 1:
        faults[0] = [Fault(detail=error.detail)]
    return [Rejection(texts[index].position, error.code, faults[index]) for index in sorted(faults)]
