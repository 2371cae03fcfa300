"""Differences of two feeds: each seeded one is found, and no other."""

import json
import random
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.cli.comparison import Comparison, out_of_order
from eventfeed.domain.moment import parse_moment
from tests.support.altinn_rows import altinn_event

EVENTS = 2_000
EACH_KIND = 40
Events = list[Mapping[str, Any]]


def compare(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], **options: Any) -> list[str]:
    """The differences as lines."""
    registration = options.pop("registration", lambda _: "")
    bounds = {"since": None, "until": None, **options}
    comparison = Comparison(**bounds, registration=registration)
    for side, events in (("old", old), ("new", new)):
        for start in range(0, len(events), 300):
            comparison.add(side, [json.dumps(each).encode() for each in events[start : start + 300]])  # type: ignore[arg-type]  # a side
    return [str(each) for each in comparison.differences()]


def in_log(events: Sequence[Mapping[str, Any]]) -> Events:
    """The events as this service returns them."""
    return [{**event, "sequence": f"{number:020d}"} for number, event in enumerate(events, start=1)]


def test_equal_feeds_have_no_difference() -> None:
    """The members that this service adds are none, and neither are another order of members or spelling of a time."""
    old = [altinn_event(number, resource=None, resourceinstance=None, data={"a": 1.0}) for number in range(EVENTS)]
    new = [
        {**altinn_event(number), "data": {"a": 1}, "datacontenttype": "application/json"} for number in range(EVENTS)
    ]
    other_times = [{**event, "time": str(event["time"]).replace("Z", "+00:00")} for event in new]

    assert [] == compare(old, in_log(new))
    assert [] == compare(old, in_log(other_times))
    assert [] == compare(in_log(new), in_log(new))


@pytest.mark.parametrize("seed", range(5))
def test_every_seeded_difference_of_five_kinds_is_found_and_no_other(seed: int) -> None:
    """200 differences at random places, far and near."""
    rng = random.Random(seed)
    events = [altinn_event(number) for number in range(EVENTS)]
    chosen = rng.sample(range(EVENTS), 5 * EACH_KIND)
    missing, extra, doubled, different, moved = ([events[index] for index in chosen[start::5]] for start in range(5))
    old = [event for event in events if event not in extra]
    new = [changed(event, rng) if event in different else event for event in events if event not in missing + moved]
    for event in doubled:
        new.insert(rng.randrange(new.index(event), len(new)) + 1, event)
    for event in moved:
        new.insert(place_elsewhere(rng, events.index(event), len(new)), event)

    lines = compare(old, in_log(new))

    wanted = {"missing": missing, "extra": extra, "doubled": doubled, "different": different, "reordered": moved}
    assert {kind: {each["id"] for each in chosen} for kind, chosen in wanted.items()} == {
        kind: {line.split()[2] for line in lines if line.startswith(f"{kind}: ")} for kind in wanted
    }
    assert 5 * EACH_KIND == len(lines)


def changed(event: Mapping[str, Any], rng: random.Random) -> Mapping[str, Any]:
    """The event with one member changed, added or removed."""
    changes: list[Mapping[str, Any]] = [
        {"type": "app.instance.deleted"},
        {"time": "2025-12-31T23:00:00Z"},
        {"time": "2027-12-31T23:00:00Z"},
        {"subject": None},
        {"data": {"a": None}},
        {"resource": "urn:altinn:resource:app_ttd_other"},
        {"extra": True},
    ]
    return {name: value for name, value in {**event, **rng.choice(changes)}.items() if value is not None}


def place_elsewhere(rng: random.Random, index: int, length: int) -> int:
    """A place at a distance from where the event was."""
    while abs((place := rng.randrange(length)) - index) < EVENTS // 10:
        pass
    return place


def test_difference_names_event_places_and_members() -> None:
    """A line has the kind, the source, the id and the positions in both feeds."""
    event = altinn_event(1)

    lines = compare([event, altinn_event(2)], in_log([{**event, "type": "x", "more": 1}]))

    assert [
        f"missing: {altinn_event(2)['source']} {altinn_event(2)['id']} (old 2)",
        f"different: {event['source']} {event['id']} (old 1, new 1: more, type)",
    ] == lines


def test_time_that_is_restated_is_no_difference() -> None:
    """A time after the registration is replaced by it: the service says when it registered the event."""
    old, restated = altinn_event(1, time="2099-01-01T00:00:00Z"), "2026-01-01T12:00:00.250000Z"
    new = in_log([altinn_event(1, time=restated)])

    assert [] == compare([old], new, registration=lambda sequence: restated if sequence == 1 else "")
    assert ["different"] == [line[:9] for line in compare([old], new, registration=lambda _: "2026-01-01T13:00:00Z")]
    assert ["different"] == [line[:9] for line in compare([old], new)]


def test_unmatched_events_outside_of_the_times_do_not_count() -> None:
    """The systems bound a feed by different times, and the old one hides its newest events."""
    since, until = (parse_moment(f"2026-01-01T12:00:{second}Z") for second in (10, 20))
    events = [altinn_event(number) for number in range(5, 25)]

    lines = compare(events, [], since=since, until=until)

    assert [altinn_event(number)["id"] for number in range(10, 20)] == [line.split()[2] for line in lines]


@given(st.permutations(range(8)))
def test_fewest_positions_are_out_of_order(order: Sequence[int]) -> None:
    """Without them the others increase, and no smaller number would do."""
    moved = set(out_of_order(array("q", order)))
    rest = [position for position in order if position not in moved]
    longest = max(
        sum(1 for bit in range(8) if subset & 1 << bit)
        for subset in range(256)
        if (chosen := [order[bit] for bit in range(8) if subset & 1 << bit]) == sorted(chosen)
    )

    assert sorted(rest) == rest
    assert 8 - longest == len(moved)


def test_counts_of_both_feeds_include_doubled_events() -> None:
    """An event that the old system has twice is a difference too."""
    event = altinn_event(1)

    lines = compare([event, altinn_event(2), event], in_log([event, altinn_event(2)]))

    assert Counter({"doubled": 1}) == Counter(line.partition(":")[0] for line in lines)
