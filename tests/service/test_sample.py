"""The sample: realistic cases, the same for one seed."""

import itertools

from eventfeed.domain.app_source import parse_app_source
from eventfeed.domain.cloudevents import app_event_faults, event_faults
from eventfeed.sample import sample_events

UNTIL = 1_800_000_000_000_000
EVENTS = sample_events(7, cases=200, until=UNTIL)


def test_every_event_of_the_sample_is_valid() -> None:
    """Each is an app event with a unique id. The events are in the order of time, and none is in the future."""
    times = [str(event["time"]) for event in EVENTS]

    assert [] == [fault for event in EVENTS for fault in (*event_faults(event), *app_event_faults(event))]
    assert len(EVENTS) == len({event["id"] for event in EVENTS})
    assert sorted(times) == times
    assert times[-1] <= "2027-01-15T08:00:00.000000Z"


def test_sample_depends_only_on_its_seed() -> None:
    """The same seed gives the same events, and another seed gives others."""
    assert EVENTS == sample_events(7, cases=200, until=UNTIL)
    assert EVENTS != sample_events(8, cases=200, until=UNTIL)


def test_case_of_the_sample_begins_with_its_creation_and_ends_at_most_once() -> None:
    """Most cases are completed. The sample has several orgs, apps and parties."""
    by_case = sorted(EVENTS, key=lambda event: str(event["source"]))
    cases = [[event["type"] for event in case] for _, case in itertools.groupby(by_case, lambda event: event["source"])]
    sources = [parse_app_source(str(event["source"])) for event in EVENTS]

    assert 200 == len(cases)
    assert all(case[0] == "instance.created" and case.count("instance.process.completed") <= 1 for case in cases)
    assert 100 < sum("instance.process.completed" in case for case in cases) < 200
    assert {"ttd", "skd", "kommune"} == {each.app.org for each in sources if each}
    assert len({each.party for each in sources if each}) > 10
