"""The sample: believable cases, the same for everyone."""

import itertools

from eventfeed.domain.event import app_event_faults, event_faults, implied
from eventfeed.sample import sample_events

UNTIL = 1_800_000_000_000_000
EVENTS = sample_events(7, cases=200, until=UNTIL)


def test_every_event_can_be_published() -> None:
    """Each is a valid app event with an id of its own, in the order of time, none in the future."""
    times = [str(event["time"]) for event in EVENTS]

    assert [] == [fault for event in EVENTS for fault in (*event_faults(event), *app_event_faults(event))]
    assert len(EVENTS) == len({event["id"] for event in EVENTS})
    assert sorted(times) == times
    assert times[-1] <= "2027-01-15T08:00:00.000000Z"


def test_the_same_seed_gives_the_same_events() -> None:
    """And another seed others."""
    assert EVENTS == sample_events(7, cases=200, until=UNTIL)
    assert EVENTS != sample_events(8, cases=200, until=UNTIL)


def test_a_case_begins_and_most_are_completed() -> None:
    """Each begins with its creation and ends at most once; several orgs, apps and parties are there."""
    by_case = sorted(EVENTS, key=lambda event: str(event["source"]))
    cases = [[event["type"] for event in case] for _, case in itertools.groupby(by_case, lambda event: event["source"])]
    known = [implied(str(event["source"])) for event in EVENTS]

    assert 200 == len(cases)
    assert all(case[0] == "instance.created" and case.count("instance.process.completed") <= 1 for case in cases)
    assert 100 < sum("instance.process.completed" in case for case in cases) < 200
    assert {"ttd", "skd", "kommune"} == {each.app.org for each in known if each}
    assert len({each.party for each in known if each}) > 10
