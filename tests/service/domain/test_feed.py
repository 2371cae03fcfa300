"""Feeds: their events, the index of a lookup, and decisions that hide events."""

import pytest

from eventfeed.domain import feed as feed_module
from eventfeed.domain.conditions import AnyOf, Condition, Equal, Field, Matches, NoneOf
from eventfeed.domain.event import App, Event, marker
from eventfeed.domain.feed import (
    Feed,
    app_feed,
    instance_feed,
    party_feed,
    plan_lookup,
    reportee_feed,
    resource_feed,
    unit_feed,
)
from tests.support.conditions import conditions
from tests.support.events import TTD, caller, event, guid

KARI = caller(user="20000001")
BOLIG = "urn:altinn:resource:app_ttd_bolig"
INDEXES: list[tuple[Field, ...]] = [("id",), ("subject",), ("org", "app", "type"), ("org", "app"), ("type",)]


@pytest.mark.parametrize(
    ("feed", "member", "other"),
    [
        (app_feed(TTD), event(), event(app=App(org="ttd", name="bolig2"))),
        (party_feed("/party/50000001", KARI), event(), event(party=50000002)),
        (party_feed("/party/50000001", KARI), event(app=None, resource="urn:x"), event(app=None)),
        (resource_feed(BOLIG, KARI), event(), event(app=None, resource="urn:x")),
        (reportee_feed(frozenset("a")), event(type_="a"), event(type_="A")),
        (instance_feed(guid(5), None), event(instance=5), event(instance=6)),
        (instance_feed(guid(5), "50000001"), event(instance=5), event(instance=5, party=50000002)),
    ],
)
def test_feed_matches_its_own_events_and_no_others(feed: Feed, member: Event, other: Event) -> None:
    """Each condition of the feed counts."""
    assert (True, False) == (feed.matches(member), feed.matches(other))


def test_marker_is_in_no_feed() -> None:
    """This holds also for a party, a resource and an instance without a name."""
    feeds: list[Feed] = [
        app_feed(TTD),
        party_feed("", KARI),
        resource_feed("", KARI),
        instance_feed("", None),
        reportee_feed(frozenset({"instance.created"})),
    ]

    assert [] == [feed for feed in feeds if feed.matches(marker("x"))]


def test_filters_narrow_a_feed_until_without_filters_is_called() -> None:
    """A second filter is added to the first, and without filters it is the feed itself."""
    feed = app_feed(TTD)
    narrow = feed.where(*conditions(types={"a"})).where(*conditions(subject="/party/1"))

    assert narrow.matches(event(type_="a", party=1))
    assert not narrow.matches(event(type_="b", party=1))
    assert not narrow.matches(event(type_="a", party=2))
    assert feed == narrow.without_filters() == feed.where()


def test_hidden_events_are_excluded_by_resource_or_subject() -> None:
    """A party's feed excludes resources, a resource's feed excludes subjects, and other feeds need no decisions."""
    hidden_events = [event(), event(app=App(org="ttd", name="b"), party=2), event(app=None)]
    of_party = party_feed("/party/1", KARI).without(hidden_events)
    of_resource = resource_feed(BOLIG, KARI).without(hidden_events)
    of_app = app_feed(TTD)

    assert (NoneOf("resource", frozenset({BOLIG, "urn:altinn:resource:app_ttd_b", ""})),) == of_party.filters
    assert (NoneOf("subject", frozenset({"/party/50000001", "/party/2"})),) == of_resource.filters
    assert of_app == of_app.without(hidden_events)


def test_feed_of_several_parties_has_the_events_of_each() -> None:
    """A decision on one party's events is none on another's, so hidden events exclude nothing."""
    feed = unit_feed(frozenset({"/party/50000001", "/party/50000002"}), KARI)
    events = [event(), event(party=50000002), event(party=50000003), event(app=None)]

    assert [True, True, False, False] == [feed.matches(each) for each in events]
    assert feed == feed.without([event()])
    assert [("/party/50000001",), ("/party/50000002",)] == plan_lookup(feed, INDEXES).keys
    assert party_feed("/party/1", KARI) == unit_feed(frozenset({"/party/1"}), KARI)


def test_later_exclusions_join_the_earlier_ones() -> None:
    """A feed has one condition with all excluded values, beside the filters of the reader."""
    types = conditions(types={"a"})
    feed = resource_feed(BOLIG, KARI).where(*types).without([event(party=1)]).without([event(party=2)])

    assert (*types, NoneOf("subject", frozenset({"/party/1", "/party/2"}))) == feed.filters


def test_exclusions_beyond_the_limit_are_not_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exclusions so far stay, and the reader decides on the other events one by one."""
    monkeypatch.setattr(feed_module, "EXCLUSIONS_MAX", 2)
    feed = resource_feed(BOLIG, KARI)
    full = feed.without([event(party=1), event(party=2)])

    assert 2 == len(full.filters[0].values if isinstance(full.filters[0], NoneOf) else ())
    assert full == full.without([event(party=3)])


@pytest.mark.parametrize(
    ("feed", "filters", "fields"),
    [
        (app_feed(TTD), (), ("org", "app")),
        (app_feed(TTD), conditions(types={"a"}), ("org", "app", "type")),
        (app_feed(TTD), conditions(source="https://x"), ("org", "app")),
        (app_feed(TTD), conditions(subject="/party/1", types={"a"}), ("subject",)),
        (app_feed(TTD), conditions(id="x", subject="/party/1"), ("id",)),
        (reportee_feed({"a", "b"}), (), ("type",)),
        (reportee_feed({"a", "b"}), conditions(subject="/party/1"), ("subject",)),
    ],
)
def test_lookup_uses_the_first_index_whose_fields_are_fixed(
    feed: Feed, filters: tuple[Condition, ...], fields: tuple[Field, ...]
) -> None:
    """The narrowest index comes first. Conditions and filters count alike, prefixes and exclusions do not."""
    assert fields == plan_lookup(feed.where(*filters), INDEXES).fields


def test_lookup_has_a_key_for_each_combination_of_values() -> None:
    """The values of a field are in order, and each key has one value of each field."""
    plan = plan_lookup(app_feed(TTD).where(*conditions(types={"b", "a", "c"})), INDEXES)

    assert [("ttd", "bolig", "a"), ("ttd", "bolig", "b"), ("ttd", "bolig", "c")] == plan.keys
    assert () == tuple(plan.rest)


def test_lookup_leaves_conditions_outside_the_index_to_check() -> None:
    """A second condition on a field of the index is also checked: only the first one is part of the key."""
    rest = (
        NoneOf("resource", frozenset({""})),
        Matches("source", prefixes=frozenset({"https://x"})),
        Equal("type", "b"),
    )
    feed = Feed(name="x", conditions=(AnyOf("type", frozenset("ab")), *rest[:1])).where(*rest[1:])
    plan = plan_lookup(feed, INDEXES)

    assert [("a",), ("b",)] == plan.keys
    assert rest == tuple(plan.rest)


def test_feed_without_any_index_is_refused_by_name() -> None:
    """Such a feed would read the whole log."""
    feed = Feed(name="sources", conditions=(Matches("source", prefixes=frozenset({"https://x"})), Equal("org", "ttd")))

    with pytest.raises(LookupError, match="sources"):
        plan_lookup(feed, INDEXES)
