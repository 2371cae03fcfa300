"""Settling: what becomes of a batch, event by event."""

from eventfeed.domain.errors import EventConflict, ForeignSource
from eventfeed.domain.event import App
from eventfeed.domain.ports import Found, Known
from eventfeed.domain.publishing import Fresh, settle
from tests.support.events import TTD, event, submission

NOTHING = Found(identities={}, owners={})
THIEF = App(org="skd", name="tyveri")


def test_new_events_are_appended_in_order() -> None:
    """Across submissions."""
    one, two, three = event(), event(), event()
    settlement = settle([submission(one, two), submission(three)], NOTHING)

    assert [one, two, three] == settlement.fresh
    assert [[0, 1], [2]] == [
        [place.index for place in answer if isinstance(place, Fresh)]
        for answer in settlement.answers
        if isinstance(answer, list)
    ]


def test_what_is_known_is_not_appended() -> None:
    """It is answered with its place."""
    old = event()
    known = Known(sequence=7, time=1, content=old.content, mark="m")
    settlement = settle([submission(old)], Found(identities={old.identity: known}, owners={}))

    assert ([], [[known]]) == (settlement.fresh, settlement.answers)


def test_the_second_of_two_equal_ones_is_the_duplicate() -> None:
    """Within a submission, and between submissions."""
    same = event()
    settlement = settle([submission(same, same), submission(same)], NOTHING)
    first, repeated = Fresh(index=0, repeated=False), Fresh(index=0, repeated=True)

    assert [[first, repeated], [repeated]] == settlement.answers


def test_a_refused_submission_counts_for_nobody() -> None:
    """Neither its events nor its instances are there for those after it."""
    tainted = event("a", instance=1)
    conflict = [event("b", instance=2), event("b", instance=2, content=b"other")]
    stolen = event("c", instance=1, app=THIEF)
    settlement = settle([submission(tainted, *conflict), submission(stolen)], NOTHING)

    assert isinstance(settlement.answers[0], EventConflict)
    assert [stolen] == settlement.fresh


def test_an_instance_is_its_first_publishers() -> None:
    """In the log, in an earlier submission, and in the submission itself."""
    owned = Found(identities={}, owners={event(instance=3).instance or "": TTD})
    settlement = settle(
        [
            submission(event(instance=3, app=THIEF)),
            submission(event(instance=4)),
            submission(event(instance=4, app=THIEF)),
            submission(event(instance=5), event(instance=5, app=THIEF)),
            submission(event(instance=4, app=THIEF), admin=True),
            submission(event(instance=4)),
        ],
        owned,
    )

    assert [True, False, True, True, False, False] == [isinstance(each, ForeignSource) for each in settlement.answers]


def test_an_event_of_no_app_belongs_to_no_instance() -> None:
    """Nothing is claimed by it."""
    settlement = settle([submission(event(app=None)), submission(event(app=None))], NOTHING)

    assert 2 == len(settlement.fresh)
