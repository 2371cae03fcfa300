"""Plans of batches: new, duplicate, conflicting and foreign events."""

from eventfeed.domain.errors import EventConflict, ForeignSource
from eventfeed.domain.event import App
from eventfeed.domain.ports import Lookup, StoredEvent
from eventfeed.domain.publishing import NewEvent, plan_batch
from tests.support.events import TTD, event, submission

EMPTY = Lookup(identities={}, owners={})
OTHER_APP = App(org="skd", name="tyveri")


def test_new_events_are_planned_in_order() -> None:
    """The order is kept across submissions."""
    one, two, three = event(), event(), event()
    plan = plan_batch([submission(one, two), submission(three)], EMPTY)

    assert [one, two, three] == plan.events
    assert [[0, 1], [2]] == [
        [event_plan.index for event_plan in outcome if isinstance(event_plan, NewEvent)]
        for outcome in plan.outcomes
        if isinstance(outcome, list)
    ]


def test_event_in_the_log_is_not_planned_again() -> None:
    """Its outcome is the stored event."""
    old = event()
    stored_event = StoredEvent(sequence=7, time=1, content=old.content, write_id="m")
    plan = plan_batch([submission(old)], Lookup(identities={old.identity: stored_event}, owners={}))

    assert ([], [[stored_event]]) == (plan.events, plan.outcomes)


def test_second_of_two_equal_events_is_the_duplicate() -> None:
    """This holds within a submission and between submissions."""
    same = event()
    plan = plan_batch([submission(same, same), submission(same)], EMPTY)
    first, second = NewEvent(index=0, is_repeat=False), NewEvent(index=0, is_repeat=True)

    assert [[first, second], [second]] == plan.outcomes


def test_refused_submission_has_no_effect_on_later_ones() -> None:
    """Later submissions are compared neither with its events nor with its instances."""
    valid = event("a", instance=1)
    conflict = [event("b", instance=2), event("b", instance=2, content=b"other")]
    claim = event("c", instance=1, app=OTHER_APP)
    plan = plan_batch([submission(valid, *conflict), submission(claim)], EMPTY)

    assert isinstance(plan.outcomes[0], EventConflict)
    assert [claim] == plan.events


def test_instance_belongs_to_the_app_that_published_it_first() -> None:
    """The first event is in the log, in an earlier submission or in the same one. An admin may publish for any app."""
    lookup = Lookup(identities={}, owners={event(instance=3).instance or "": TTD})
    plan = plan_batch(
        [
            submission(event(instance=3, app=OTHER_APP)),
            submission(event(instance=4)),
            submission(event(instance=4, app=OTHER_APP)),
            submission(event(instance=5), event(instance=5, app=OTHER_APP)),
            submission(event(instance=4, app=OTHER_APP), admin=True),
            submission(event(instance=4)),
        ],
        lookup,
    )

    assert [True, False, True, True, False, False] == [isinstance(each, ForeignSource) for each in plan.outcomes]


def test_event_without_app_claims_no_instance() -> None:
    """Two such events are both new."""
    plan = plan_batch([submission(event(app=None)), submission(event(app=None))], EMPTY)

    assert 2 == len(plan.events)
