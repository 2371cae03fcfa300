"""Settling: what becomes of a batch, event by event."""

from eventfeed.domain.errors import EventConflict, ForeignSource
from eventfeed.domain.event import App
from eventfeed.domain.ports import Lookup, StoredEvent
from eventfeed.domain.publishing import NewEvent, plan_batch
from tests.support.events import TTD, event, submission

NOTHING = Lookup(identities={}, owners={})
THIEF = App(org="skd", name="tyveri")


def test_new_events_are_appended_in_order() -> None:
    """Across submissions."""
    one, two, three = event(), event(), event()
    plan = plan_batch([submission(one, two), submission(three)], NOTHING)

    assert [one, two, three] == plan.fresh
    assert [[0, 1], [2]] == [
        [place.index for place in answer if isinstance(place, NewEvent)]
        for answer in plan.answers
        if isinstance(answer, list)
    ]


def test_what_is_known_is_not_appended() -> None:
    """It is answered with its place."""
    old = event()
    known = StoredEvent(sequence=7, time=1, content=old.content, write_id="m")
    plan = plan_batch([submission(old)], Lookup(identities={old.identity: known}, owners={}))

    assert ([], [[known]]) == (plan.fresh, plan.answers)


def test_the_second_of_two_equal_ones_is_the_duplicate() -> None:
    """Within a submission, and between submissions."""
    same = event()
    plan = plan_batch([submission(same, same), submission(same)], NOTHING)
    first, repeated = NewEvent(index=0, repeated=False), NewEvent(index=0, repeated=True)

    assert [[first, repeated], [repeated]] == plan.answers


def test_a_refused_submission_counts_for_nobody() -> None:
    """Neither its events nor its instances are there for those after it."""
    tainted = event("a", instance=1)
    conflict = [event("b", instance=2), event("b", instance=2, content=b"other")]
    stolen = event("c", instance=1, app=THIEF)
    plan = plan_batch([submission(tainted, *conflict), submission(stolen)], NOTHING)

    assert isinstance(plan.answers[0], EventConflict)
    assert [stolen] == plan.fresh


def test_an_instance_is_its_first_publishers() -> None:
    """In the log, in an earlier submission, and in the submission itself."""
    owned = Lookup(identities={}, owners={event(instance=3).instance or "": TTD})
    plan = plan_batch(
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

    assert [True, False, True, True, False, False] == [isinstance(each, ForeignSource) for each in plan.answers]


def test_an_event_of_no_app_belongs_to_no_instance() -> None:
    """Nothing is claimed by it."""
    plan = plan_batch([submission(event(app=None)), submission(event(app=None))], NOTHING)

    assert 2 == len(plan.fresh)
