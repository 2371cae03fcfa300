"""Publishing: batches within the limits, receipts in order, safe repeats, and rejections by position."""

import json
from collections.abc import Callable, Iterable, Mapping

import msgspec
import pytest

from eventfeed.client import Batch, EventsRejectedError, Fault, FeedError, RefusedError, UnreachableError
from eventfeed.client import publishing as client_publishing
from eventfeed.client.publishing import EventObject, Publishing, join_receipts
from eventfeed.client.steps import ConnectionFailure, Outcome, Request, Response
from eventfeed.client.tokens import FixedToken
from eventfeed.domain import cloudevents
from tests.service.client.step_driver import NO_CONNECTION, Run, problem, run_steps

RESET = ConnectionFailure("reset")


def event(number: int, **attributes: object) -> Mapping[str, object]:
    """Return an event with an id."""
    return {"id": f"event-{number}", "source": "https://x", "type": "t", "specversion": "1.0", **attributes}


def receipts(*numbers: int, duplicate: bool = False) -> Response:
    """Return the response to a batch of these events."""
    body = [
        {
            "id": f"event-{number}",
            "source": "https://x",
            "sequence": f"{number:020d}",
            "time": "t",
            "duplicate": duplicate,
        }
        for number in numbers
    ]
    return Response(200, {}, json.dumps(body).encode())


def faults(*pointers: str, status: int = 400, code: str = "invalid-event") -> Response:
    """Return a refusal with a fault at each pointer."""
    return problem(status, code, errors=[{"pointer": pointer, "detail": "is wrong"} for pointer in pointers])


def publish(
    events: Iterable[EventObject], *outcomes: Outcome, progress: Callable[[int], None] | None = None
) -> Run[Batch]:
    """Publish events with the longest random delays; an event without an id gets one from its position."""
    publishing = Publishing(
        FixedToken("token"), new_id=lambda position: f"new-{position}", progress=progress, random=lambda: 1.0
    )
    return run_steps(publishing.batches(events), *outcomes)


def ids(request: Request) -> list[str]:
    """Return the ids in a request."""
    return [each["id"] for each in json.loads(request.content)]


def rejections(run: Run[Batch]) -> dict[int, str]:
    """Return the rejections of a run by position."""
    return {each.position: str(each) for batch in run.items for each in batch.rejections}


def test_limits_of_the_client_equal_those_of_the_service() -> None:
    """The client imports nothing from the service, so it has its own constants."""
    limits = client_publishing.EVENT_BYTES_MAX, client_publishing.BATCH_EVENTS_MAX, client_publishing.BATCH_BYTES_MAX

    assert (cloudevents.EVENT_BYTES_MAX, cloudevents.REQUEST_EVENTS_MAX, cloudevents.REQUEST_BYTES_MAX) == limits


def test_events_of_any_number_are_published_in_batches_of_100() -> None:
    """The iterable may be lazy. Batches are in order, and each has the positions of its events."""
    events = (event(number) for number in range(250))
    run = publish(events, receipts(*range(100)), receipts(*range(100, 200)), receipts(*range(200, 250)))

    assert [100, 100, 50] == [len(ids(request)) for request in run.requests]
    assert [f"event-{number}" for number in range(250)] == [id_ for request in run.requests for id_ in ids(request)]
    assert [range(100), range(100, 200), range(200, 250)] == [batch.positions for batch in run.items]
    assert list(range(250)) == [receipt.sequence for receipt in join_receipts(run.items)]


def test_request_is_a_batch_of_cloudevents() -> None:
    """The request has the token and the media type of the batch format."""
    (request,) = publish([event(1)]).requests

    assert ("POST", "/events/api/v1/events") == (request.method, request.target)
    assert ("Bearer token", "application/cloudevents-batch+json") == (
        request.headers["Authorization"],
        request.headers["Content-Type"],
    )


def test_large_events_are_published_in_batches_of_2_mib() -> None:
    """No request is larger than the service accepts."""
    events = [event(number, data="x" * 60_000) for number in range(50)]
    run = publish(events, receipts(*range(34)), receipts(*range(34, 50)))

    assert all(len(request.content) <= client_publishing.BATCH_BYTES_MAX for request in run.requests)
    assert [34, 16] == [len(ids(request)) for request in run.requests]
    assert 50 == len(join_receipts(run.items))


def test_no_events_send_no_request() -> None:
    """An empty iterable has no receipts."""
    run = publish([])

    assert ([], [], True) == (run.requests, join_receipts(run.items), run.is_complete)


def test_event_without_an_id_gets_one_before_it_is_sent() -> None:
    """The id may be absent or null. The publisher's object stays unchanged."""
    without: dict[str, object] = {"source": "https://x"}
    events: list[EventObject] = [without, {**without, "id": None}, b' {"source": "https://x"} ', event(3)]
    run = publish(events)

    assert ["new-0", "new-1", "new-2", "event-3"] == ids(run.requests[0])
    assert {"source": "https://x"} == without


def test_retry_after_a_lost_response_sends_the_same_bytes() -> None:
    """The service can thus recognise the events."""
    run = publish([{"source": "https://x"}], problem(503, "unavailable"), RESET, receipts(1, duplicate=True))

    assert 1 == len({request.content for request in run.requests})
    assert 3 == len(run.requests)
    assert [0.5, 1.0] == run.pauses
    assert [True] == [receipt.duplicate for receipt in join_receipts(run.items)]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_temporary_status_is_retried_ten_times(status: int) -> None:
    """The delay is at least `Retry-After`. After the last attempt the error is raised."""
    run = publish([event(1)], *[problem(status, "x", retry_after="3")] * 10)

    assert (10, RefusedError) == (len(run.requests), type(run.error))
    assert [3.5, 4.0, 5.0] == run.pauses[:3]


@pytest.mark.parametrize(("outcome", "kind"), [(problem(500, "x"), RefusedError), (NO_CONNECTION, UnreachableError)])
def test_permanent_failure_raises_immediately(outcome: Outcome, kind: type[Exception]) -> None:
    """The service has an internal error, or the address has no service."""
    run = publish([event(1)], outcome)

    assert (1, kind) == (len(run.requests), type(run.error))


def test_rejected_events_are_named_and_the_others_published() -> None:
    """Further requests have the other events, in the same order. Each rejection has the faults of its event."""
    run = publish(
        [event(number) for number in range(5)],
        faults("/1/source", "/1/type", "/3"),
        faults("/0", status=409, code="event-conflict"),
        receipts(2, 4),
    )

    assert [["event-0", "event-2", "event-4"], ["event-2", "event-4"]] == [ids(each) for each in run.requests[1:]]
    assert {1: "source is wrong; type is wrong", 3: "is wrong", 0: "is wrong"} == rejections(run)
    assert ["invalid-event", "invalid-event", "event-conflict"] == [each.code for each in run.items[0].rejections]


def test_rejections_raise_an_error_with_the_receipts_of_the_others() -> None:
    """The error is raised after the last event, with the rejections in the order of the events."""
    events: list[EventObject] = [event(0), b"nonsense", event(2), event(3)]
    run = publish(events, faults("/1/source"), receipts(0, 3))

    with pytest.raises(EventsRejectedError, match="event 2: source is wrong") as error:
        join_receipts(run.items)

    assert [1, 2] == [each.position for each in error.value.rejections]
    assert [Fault(pointer="/source", detail="is wrong")] == error.value.rejections[1].faults
    assert [0, 3] == [receipt.sequence for receipt in error.value.receipts]


def test_refusal_that_names_no_event_is_resolved_one_by_one() -> None:
    """A batch of one event shows which event is refused."""
    refusal = problem(413, "too-large")
    run = publish([event(number) for number in range(3)], refusal, receipts(0), refusal, receipts(2))

    assert [3, 1, 1, 1] == [len(ids(request)) for request in run.requests]
    assert {1: "no"} == rejections(run)
    assert [0, 2] == [receipt.sequence for receipt in run.items[0].receipts]


@pytest.mark.parametrize("refusal", [problem(403, "insufficient-scope"), problem(401, "unauthenticated")])
def test_refused_publisher_raises_immediately(refusal: Response) -> None:
    """The refusal does not depend on the events."""
    run = publish([event(1), event(2)], refusal)

    assert (1, RefusedError) == (len(run.requests), type(run.error))


@pytest.mark.parametrize(
    "invalid_event",
    [b"nonsense", b"[]", b'{"a": {"b": }}', b"\xff{}", b'{"a":' * 5000, {"data": object()}, {"data": "x" * 65_536}],
    ids=["no JSON", "array", "broken inside", "no UTF-8", "nested", "no JSON value", "too large"],
)
def test_event_that_cannot_be_sent_is_rejected_locally(invalid_event: EventObject) -> None:
    """The events before and after it are published."""
    run = publish([event(0), invalid_event, event(2)], receipts(0, 2))

    assert ["event-0", "event-2"] == ids(run.requests[0])
    assert [1] == list(rejections(run))
    assert run.is_complete


def test_event_of_another_type_is_rejected_by_the_name_of_the_type() -> None:
    """A single event in the place of a list has the names of its members as events."""
    (rejection, *_) = publish(event(0)).items[0].rejections  # type: ignore[arg-type]  # the mistake

    assert "must be a mapping, or JSON as bytes, and not str" == str(rejection)


def test_event_of_exactly_64_kib_is_published() -> None:
    """One byte more is rejected."""
    overhead = len(msgspec.json.encode(event(0, data="")))
    limit = client_publishing.EVENT_BYTES_MAX - overhead
    run = publish([event(0, data="x" * limit), event(1, data="x" * (limit + 1))], receipts(0))

    assert ["event-0"] == ids(run.requests[0])
    assert {1: "has more than 65536 bytes"} == rejections(run)


def test_rejected_events_alone_send_no_request() -> None:
    """A batch has at most 100 events, also without a request."""
    run = publish([b"nonsense"] * 150)

    assert [] == run.requests
    assert [range(100), range(100, 150)] == [batch.positions for batch in run.items]


def test_progress_is_reported_after_each_batch() -> None:
    """The callback gets the number of events so far."""
    counts = list[int]()
    publish([event(number) for number in range(150)], receipts(*range(100)), progress=counts.append)

    assert [100] == counts


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"[{}]", b'[{"sequence": "x"}]'])
def test_response_without_a_receipt_for_each_event_raises_an_error(body: bytes) -> None:
    """No event of the batch counts as published."""
    assert isinstance(publish([event(1)], Response(200, {}, body)).error, FeedError)
