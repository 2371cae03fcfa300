"""Following a feed: whatever the service and the line do, the place is not lost, and nobody is asked too often."""

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
)
from eventfeed.client.following import Following
from eventfeed.client.steps import Answer, Broken, Outcome, Steps
from eventfeed.client.tokens import Fixed, Tokens
from tests.service.client.driving import (
    CUT,
    LOG,
    NOBODY,
    OPEN,
    SILENCE,
    driven,
    end,
    heartbeat,
    message,
    page,
    problem,
)

FEED = app_feed("ttd", "bolig", types=["a", "b"])


class Renewed:
    """Tokens numbered in the order they are had."""

    renewable = True

    def __init__(self) -> None:
        self.had = 0

    def token(self, *, fresh: bool) -> Steps[str]:
        """See `Tokens.token`."""
        yield from ()
        self.had += fresh or not self.had
        return str(self.had)


def following(*, after: str = "0", tokens: Tokens | None = None) -> Following:
    """A consumer whose dice always show the most."""
    return Following(FEED, tokens or Fixed("token"), after=after, random=lambda: 1.0)


def test_a_stream_is_followed_from_where_the_consumer_has_been() -> None:
    """Events and heartbeats move the place, and a line that breaks is taken up again there."""
    found = driven(following().follow(), OPEN, message(1) + message(2), heartbeat(7), CUT, OPEN, message(9))

    assert [1, 2, 9] == found.seen
    assert [f"{LOG}.2", f"{LOG}.7", f"{LOG}.9"] == [each.cursor for each in found.pages]
    assert ["after=0&eventType=a&eventType=b", f"after={LOG}.7&eventType=a&eventType=b"] == found.targets
    assert {"text/event-stream"} == {request.headers["Accept"] for request in found.asked}
    assert {"Bearer token"} == {request.headers["Authorization"] for request in found.asked}


def test_an_event_cut_in_the_middle_comes_once() -> None:
    """What was not whole is asked for again."""
    found = driven(following().follow(), OPEN, message(1) + message(2)[:30], CUT, OPEN, message(2))

    assert [1, 2] == found.seen
    assert f"after={LOG}.1&" in found.targets[1]


def test_what_comes_twice_is_handed_on_once() -> None:
    """A service that goes back is not followed."""
    found = driven(following().follow(), OPEN, message(4), CUT, OPEN, message(3) + message(4) + message(5))

    assert [4, 5] == found.seen


def test_an_order_that_falls_is_an_error() -> None:
    """The consumer must not go on as if nothing were wrong."""
    found = driven(following().follow(), OPEN, message(4) + message(3))

    assert isinstance(found.raised, OutOfOrderError)


@pytest.mark.parametrize(
    "refused",
    [
        [problem(406, "not-acceptable")],
        [problem(429, "too-many-requests")],
        [problem(503, "unavailable")],
        [page(cursor=0)],
        [OPEN, SILENCE],
    ],
    ids=["406", "429", "503", "no stream", "silence"],
)
def test_without_streams_it_waits_at_the_service(refused: Sequence[Outcome]) -> None:
    """By waiting polls; a stream is tried again after some of them."""
    waited = page(cursor=5, preference_applied="wait=30")
    found = driven(following().follow(), *refused, page(3, cursor=3), waited, waited, OPEN, message(6))

    assert [3, 6] == found.seen
    assert ["text/event-stream", "application/cloudevents-batch+json"] == [
        request.headers["Accept"] for request in found.asked[:2]
    ]
    assert {"wait=30"} == {request.headers["Prefer"] for request in found.asked[1:4]}
    assert found.asked[4].streaming


def test_where_nobody_waits_it_asks_ever_less_often() -> None:
    """A second at first, ten at most, and a second again when something came."""
    nothing, refused = page(cursor=0), problem(406, "not-acceptable")
    polls = (refused, nothing, nothing, nothing)
    found = driven(following().follow(), *polls, *polls, refused, page(1, cursor=1))

    assert [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 1.0] == found.waited


def test_what_has_not_changed_is_not_sent_again() -> None:
    """The tag of an empty page goes with the next question for it."""
    same = Answer(304, {"feed-cursor": f"{LOG}.5", "feed-more": "false", "preference-applied": "wait=30"}, b"")
    found = driven(
        following(after=f"{LOG}.5").follow(),
        problem(406, "x"),
        page(cursor=5, preference_applied="wait=30"),
        same,
        same,
    )

    assert [None, '"5"', '"5"'] == [request.headers.get("If-None-Match") for request in found.asked[1:4]]
    assert [] == found.waited


def test_failures_are_waited_for_ever_longer() -> None:
    """Up to 20 s, and from the start again when something came."""
    found = driven(
        following().follow(), OPEN, message(1), CUT, *[NOBODY] * 7, OPEN, message(2), CUT, NOBODY, OPEN, message(3)
    )

    assert [1, 2, 3] == found.seen
    assert [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 0.5, 1.0] == found.waited


def test_a_line_that_always_breaks_is_not_hammered() -> None:
    """A first heartbeat is no progress."""
    found = driven(following().follow(), *(OPEN, heartbeat(0), CUT) * 4)

    assert [0.5, 1.0, 2.0, 4.0] == found.waited


def test_who_is_told_to_wait_waits() -> None:
    """At least so long."""
    found = driven(following().read(), problem(503, "unavailable", retry_after="7"), page(1, cursor=1))

    assert ([1], [7.5], True) == (found.seen, found.waited, found.ended)


def test_nobody_there_is_told_at_once() -> None:
    """The address is more likely wrong than the service away."""
    assert isinstance(driven(following().follow(), NOBODY).raised, UnreachableError)


def test_a_first_connection_that_breaks_is_tried_again() -> None:
    """Somebody was there. But who never answers is somebody else."""
    broken = Broken("reset")
    found = driven(following().follow(), broken, broken, OPEN, message(1))
    stranger = driven(following().follow(), *[broken] * 9)

    assert [1] == found.seen
    assert (UnreachableError, 5) == (type(stranger.raised), len(stranger.waited))


@pytest.mark.parametrize(("outcome", "raised"), [(NOBODY, UnreachableError), (problem(503, "x"), RefusedError)])
def test_patience_ends_where_it_is_bounded(outcome: Answer, raised: type[Exception]) -> None:
    """While reading; following has no end."""
    found = driven(following().read(tries=3), page(1, cursor=1, more=True), *[outcome] * 3)

    assert isinstance(found.raised, raised)
    assert 2 == len(found.waited)


def test_a_page_is_read_to_its_end() -> None:
    """Page by page while there is more; the last one tells where that is, also when it is empty."""
    found = driven(following().read(), page(1, 2, cursor=2, more=True), page(cursor=9))

    assert [1, 2] == found.seen
    assert [(f"{LOG}.2", True), (f"{LOG}.9", False)] == [(each.cursor, each.more) for each in found.pages]
    assert found.ended


def test_a_token_that_is_refused_is_renewed_once() -> None:
    """A second refusal is for a person."""
    refused = problem(401, "unauthenticated")
    found = driven(following(tokens=Renewed()).read(), refused, page(1, cursor=1, more=True), refused, refused)

    assert ["Bearer 1", "Bearer 2", "Bearer 2", "Bearer 3"] == [each.headers["Authorization"] for each in found.asked]
    assert [1] == found.seen
    assert isinstance(found.raised, RefusedError)
    assert 401 == found.raised.status


def test_a_fixed_token_cannot_be_renewed() -> None:
    """So its refusal is told at once."""
    assert isinstance(driven(following().read(), problem(401, "unauthenticated")).raised, RefusedError)


@pytest.mark.parametrize(
    ("refusal", "waited", "bearer"),
    [(problem(401, "unauthenticated"), [], "Bearer 2"), (problem(503, "unavailable"), [0.5], "Bearer 1")],
    ids=["token expired", "service stopping"],
)
def test_a_stream_that_the_service_ends_goes_on(refusal: Answer, waited: Sequence[float], bearer: str) -> None:
    """From the cursor of its last message, with another token where that was the reason."""
    found = driven(following(tokens=Renewed()).follow(), OPEN, message(1) + end(4, refusal), OPEN, message(5))

    assert ([1, 5], waited) == (found.seen, found.waited)
    assert (f"after={LOG}.4&eventType=a&eventType=b", bearer) == (
        found.targets[1],
        found.asked[1].headers["Authorization"],
    )


def test_a_stream_that_ends_for_good_says_why() -> None:
    """A right that was taken away comes back by a person alone."""
    raised = driven(following(tokens=Renewed()).follow(), OPEN, end(4, problem(403, "not-approved"))).raised

    assert isinstance(raised, RefusedError)
    assert (403, "not-approved") == (raised.status, raised.code)


@pytest.mark.parametrize("opened", [True, False])
def test_missed_events_are_never_passed_over(*, opened: bool) -> None:
    """Whoever was away for too long is told where reading can start."""
    gone = problem(410, "cursor-expired", oldestCursor=f"{LOG}.40")
    raised = driven(following().follow(), *([OPEN, end(4, gone)] if opened else [gone])).raised

    assert isinstance(raised, CursorExpiredError)
    assert f"{LOG}.40" == raised.oldest_cursor


def test_another_log_is_told() -> None:
    """Its cursors mean nothing here."""
    assert isinstance(driven(following().read(), problem(410, "cursor-of-another-log")).raised, AnotherLogError)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b""])
def test_an_answer_that_is_no_feed_is_told(body: bytes) -> None:
    """Somebody else answers there."""
    assert isinstance(driven(following().read(), Answer(200, {}, body)).raised, FeedError)


def test_a_refusal_without_words_has_its_status() -> None:
    """A gateway's page."""
    assert "404: answered with status 404" == str(driven(following().read(), Answer(404, {}, b"<html>")).raised)


def test_a_person_number_travels_in_the_body_alone() -> None:
    """Like every filter of a feed that is asked for by POST."""
    feed = party_feed(person="01838012345", types=["a"], since="2026-01-01T00:00:00Z")
    found = driven(Following(feed, Fixed(), after="0", size=7).read(), page(cursor=0))
    (request,) = found.asked

    assert ("POST", "/events/api/v1/party?after=0&size=7") == (request.method, request.target)
    assert b'{"person":"01838012345","from":"2026-01-01T00:00:00Z","eventType":["a"]}' == request.content
    assert "Authorization" not in request.headers
