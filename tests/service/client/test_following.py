"""Following a feed: no failure of the service or the connection loses the position, or causes too many requests."""

from collections.abc import Sequence

import pytest

from eventfeed.client import (
    AnotherLogError,
    CursorExpiredError,
    FeedError,
    OutOfOrderError,
    RefusedError,
    UnreachableError,
    app_feed,
    party_feed,
    resource_feed,
)
from eventfeed.client.following import Following
from eventfeed.client.steps import Actions, ConnectionFailure, Outcome, Response, StreamStart
from eventfeed.client.tokens import FixedToken, Tokens
from tests.service.client.step_driver import (
    LOG,
    NO_CONNECTION,
    SILENCE,
    STREAM,
    STREAM_END,
    end,
    heartbeat,
    message,
    page,
    problem,
    run_steps,
    sequences,
)

FEED = app_feed("ttd", "bolig", types=["a", "b"])


class NumberedTokens:
    """Tokens with consecutive numbers."""

    renewable = True

    def __init__(self) -> None:
        self.count = 0

    def token(self, *, fresh: bool) -> Actions[str]:
        """See `Tokens.token`."""
        yield from ()
        self.count += fresh or not self.count
        return str(self.count)


def following(*, after: str = "0", tokens: Tokens | None = None) -> Following:
    """Return a consumer with the longest random delays."""
    return Following(FEED, tokens or FixedToken("token"), after=after, random=lambda: 1.0)


def test_stream_that_breaks_is_resumed_from_the_last_cursor() -> None:
    """Events and heartbeats move the cursor."""
    run = run_steps(following().follow(), STREAM, message(1) + message(2), heartbeat(7), STREAM_END, STREAM, message(9))

    assert [1, 2, 9] == sequences(run)
    assert [f"{LOG}.2", f"{LOG}.7", f"{LOG}.9"] == [each.cursor for each in run.items]
    assert ["after=0&eventType=a&eventType=b", f"after={LOG}.7&eventType=a&eventType=b"] == run.queries
    assert {"text/event-stream"} == {request.headers["Accept"] for request in run.requests}
    assert {"Bearer token"} == set(run.tokens)


def test_event_cut_in_the_middle_is_yielded_once() -> None:
    """The client requests the incomplete event again."""
    run = run_steps(following().follow(), STREAM, message(1) + message(2)[:30], STREAM_END, STREAM, message(2))

    assert [1, 2] == sequences(run)
    assert f"after={LOG}.1&" in run.queries[1]


def test_events_sent_twice_are_yielded_once() -> None:
    """The client skips events up to its last sequence, in case a service goes back."""
    run = run_steps(following().follow(), STREAM, message(4), STREAM_END, STREAM, message(3) + message(4) + message(5))

    assert [4, 5] == sequences(run)


def test_decreasing_sequence_raises_an_error() -> None:
    """The service broke its contract, so the consumer must not continue."""
    run = run_steps(following().follow(), STREAM, message(4) + message(3))

    assert isinstance(run.error, OutOfOrderError)


@pytest.mark.parametrize(
    "outcomes",
    [
        [problem(406, "not-acceptable")],
        [problem(429, "too-many-requests")],
        [problem(503, "unavailable")],
        [page(cursor=0)],
        [STREAM, SILENCE],
    ],
    ids=["406", "429", "503", "no stream", "silence"],
)
def test_client_without_streams_uses_long_polls(outcomes: Sequence[Outcome]) -> None:
    """After some long polls the client tries a stream again."""
    empty = page(cursor=5, preference_applied="wait=30")
    run = run_steps(following().follow(), *outcomes, page(3, cursor=3), empty, empty, STREAM, message(6))

    assert [3, 6] == sequences(run)
    assert ["text/event-stream", "application/cloudevents-batch+json"] == [
        request.headers["Accept"] for request in run.requests[:2]
    ]
    assert {"wait=30"} == {request.headers["Prefer"] for request in run.requests[1:4]}
    assert run.requests[4].is_stream


def test_client_without_long_polls_doubles_its_polling_interval() -> None:
    """The interval is 1 s at first, 10 s at most, and 1 s again after an event."""
    empty, no_stream = page(cursor=0), problem(406, "not-acceptable")
    polls = (no_stream, empty, empty, empty)
    run = run_steps(following().follow(), *polls, *polls, no_stream, page(1, cursor=1))

    assert [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 1.0] == run.pauses


def test_unchanged_page_is_not_transferred_again() -> None:
    """The client sends the entity tag of the empty page in the next request."""
    not_modified = Response(
        304, {"feed-cursor": f"{LOG}.5", "feed-more": "false", "preference-applied": "wait=30"}, b""
    )
    run = run_steps(
        following(after=f"{LOG}.5").follow(),
        problem(406, "x"),
        page(cursor=5, preference_applied="wait=30"),
        not_modified,
        not_modified,
    )

    assert [None, '"5"', '"5"'] == [request.headers.get("If-None-Match") for request in run.requests[1:4]]
    assert [] == run.pauses


def test_repeated_failures_double_the_delay() -> None:
    """The delay is 20 s at most, and after an event it has its first value again."""
    outcomes: list[Outcome] = [STREAM, message(1), STREAM_END, *[NO_CONNECTION] * 7]
    outcomes += [STREAM, message(2), STREAM_END, NO_CONNECTION, STREAM, message(3)]
    run = run_steps(following().follow(), *outcomes)

    assert [1, 2, 3] == sequences(run)
    assert [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 0.5, 1.0] == run.pauses


def test_stream_that_always_breaks_doubles_the_delay() -> None:
    """A heartbeat at the start of a stream is no progress."""
    run = run_steps(following().follow(), *(STREAM, heartbeat(0), STREAM_END) * 4)

    assert [0.5, 1.0, 2.0, 4.0] == run.pauses


def test_retry_after_is_added_to_the_delay() -> None:
    """The client never repeats a request earlier than the service asks for."""
    run = run_steps(following().read(), problem(503, "unavailable", retry_after="7"), page(1, cursor=1))

    assert ([1], [7.5], True) == (sequences(run), run.pauses, run.is_complete)


def test_refused_first_connection_raises_immediately() -> None:
    """The address is probably wrong."""
    assert isinstance(run_steps(following().follow(), NO_CONNECTION).error, UnreachableError)


def test_broken_first_connection_is_retried_five_times() -> None:
    """A program listens at the address. Without any response it is not an event feed."""
    reset = ConnectionFailure("reset")
    run = run_steps(following().follow(), reset, reset, STREAM, message(1))
    run_without_response = run_steps(following().follow(), *[reset] * 9)

    assert [1] == sequences(run)
    assert (UnreachableError, 5) == (type(run_without_response.error), len(run_without_response.pauses))


@pytest.mark.parametrize(("outcome", "kind"), [(NO_CONNECTION, UnreachableError), (problem(503, "x"), RefusedError)])
def test_reading_raises_after_the_last_try(outcome: Response, kind: type[Exception]) -> None:
    """Following has no last attempt."""
    run = run_steps(following().read(tries_max=3), page(1, cursor=1, more=True), *[outcome] * 3)

    assert isinstance(run.error, kind)
    assert 2 == len(run.pauses)


def test_feed_is_read_to_its_end() -> None:
    """Each page is an item. The last one has the cursor of the end, even if it is empty."""
    run = run_steps(following().read(), page(1, 2, cursor=2, more=True), page(cursor=9))

    assert [1, 2] == sequences(run)
    assert [(f"{LOG}.2", True), (f"{LOG}.9", False)] == [(each.cursor, each.more) for each in run.items]
    assert run.is_complete


def test_rejected_token_is_renewed_once() -> None:
    """A second 401 is an error."""
    refusal = problem(401, "unauthenticated")
    run = run_steps(
        following(tokens=NumberedTokens()).read(),
        *(refusal, page(1, cursor=1, more=True)),
        *(refusal, refusal),
    )

    assert ["Bearer 1", "Bearer 2", "Bearer 2", "Bearer 3"] == run.tokens
    assert [1] == sequences(run)
    assert isinstance(run.error, RefusedError)
    assert 401 == run.error.status


def test_rejected_fixed_token_raises_immediately() -> None:
    """The client cannot renew a fixed token."""
    assert isinstance(run_steps(following().read(), problem(401, "unauthenticated")).error, RefusedError)


@pytest.mark.parametrize(
    ("reason", "pauses", "token"),
    [(problem(401, "unauthenticated"), [], "Bearer 2"), (problem(503, "unavailable"), [0.5], "Bearer 1")],
    ids=["token expired", "service stops"],
)
def test_stream_ended_for_a_temporary_reason_is_resumed(reason: Response, pauses: Sequence[float], token: str) -> None:
    """The client resumes from the cursor of the last message, with a new token if the old one expired."""
    run = run_steps(
        following(tokens=NumberedTokens()).follow(), STREAM, message(1) + end(4, reason), STREAM, message(5)
    )

    assert ([1, 5], pauses) == (sequences(run), run.pauses)
    assert (f"after={LOG}.4&eventType=a&eventType=b", token) == (run.queries[1], run.tokens[1])


def test_stream_ended_for_a_permanent_reason_raises_it() -> None:
    """Only a person can restore a right that was withdrawn."""
    run = run_steps(following(tokens=NumberedTokens()).follow(), STREAM, end(4, problem(403, "not-approved")))

    assert isinstance(run.error, RefusedError)
    assert (403, "not-approved") == (run.error.status, run.error.code)


@pytest.mark.parametrize("in_stream", [True, False])
def test_expired_cursor_raises_with_the_oldest_cursor(*, in_stream: bool) -> None:
    """The client never skips events silently."""
    response = problem(410, "cursor-expired", oldestCursor=f"{LOG}.40")
    run = run_steps(following().follow(), *([STREAM, end(4, response)] if in_stream else [response]))

    assert isinstance(run.error, CursorExpiredError)
    assert f"{LOG}.40" == run.error.oldest_cursor


def test_cursor_of_another_log_raises_an_error() -> None:
    """A cursor identifies a position in one log only."""
    run = run_steps(following().read(), problem(410, "cursor-of-another-log"))

    assert isinstance(run.error, AnotherLogError)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"", b"[{}]"])
def test_response_without_a_list_of_events_raises_an_error(body: bytes) -> None:
    """The address belongs to another program."""
    assert isinstance(run_steps(following().read(), Response(200, {}, body)).error, FeedError)


def test_stream_in_response_to_a_poll_raises_an_error() -> None:
    """Otherwise the client would wait for the end of the stream."""
    assert isinstance(run_steps(following().read(), STREAM).error, FeedError)


def test_refusal_without_a_problem_has_its_status() -> None:
    """A gateway may respond with an HTML page."""
    run = run_steps(following().read(), Response(404, {}, b"<html>"))

    assert "404: status 404" == str(run.error)


def test_refusal_with_faults_names_each_fault() -> None:
    """The error has the parameter or the pointer of each fault."""
    faults = [{"parameter": "from", "detail": "is no time"}, {"pointer": "/size", "detail": "is 0"}]
    run = run_steps(following().read(), problem(400, "invalid-request", errors=faults))

    assert "400 invalid-request: no [from is no time] [/size is 0]" == str(run.error)


def test_person_number_is_sent_in_the_body_only() -> None:
    """All filters of a feed that is read by POST are in the body."""
    feed = party_feed(person="01838012345", types=["a"], since="2026-01-01T00:00:00Z")
    run = run_steps(Following(feed, FixedToken(), after="0", size=7).read(), page(cursor=0))
    (request,) = run.requests

    assert ("POST", "/events/api/v1/party?after=0&size=7") == (request.method, request.target)
    assert b'{"person":"01838012345","from":"2026-01-01T00:00:00Z","eventType":["a"]}' == request.content
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(("include_subunits", "member"), [(True, b',"includeSubunits":true'), (False, b"")])
def test_feed_of_a_unit_includes_its_subunits_on_request(*, include_subunits: bool, member: bytes) -> None:
    """The parameter is a boolean in a body, and a text in a query."""
    of_party = party_feed(unit="310000011", types=["a"], include_subunits=include_subunits)
    of_resource = resource_feed("urn:x", unit="310000011", include_subunits=include_subunits)
    query = "&includeSubunits=true" if include_subunits else ""

    assert b'{"unit":"310000011"%b,"eventType":["a"]}' % member == of_party.content()
    assert f"/events/api/v1/events?after=0&resource=urn%3Ax&unit=310000011{query}" == of_resource.target(
        [("after", "0")]
    )


START = "2026-01-31T12:00:00.000000Z"


def test_start_of_the_log_after_from_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """`Feed-Start` means that the log has no events from before; each page may repeat it."""
    run_steps(following().read(), page(1, cursor=1, more=True, feed_start=START), page(2, cursor=2, feed_start=START))

    assert [f"The log has no events from before {START}. The feed /events/api/v1/app/ttd/bolig begins there."] == [
        record.getMessage() for record in caplog.records
    ]


def test_start_of_the_log_in_a_stream_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A stream has it among its headers."""
    run_steps(following().follow(), StreamStart({"feed-start": START}), message(1))

    assert [START in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("start", ["", "\x1b[2J", "soon", "9" * 41])
def test_start_that_is_no_time_is_ignored(caplog: pytest.LogCaptureFixture, start: str) -> None:
    """A header of another program must not reach a terminal."""
    run_steps(following().read(), page(1, cursor=1, feed_start=start))

    assert [] == caplog.records
