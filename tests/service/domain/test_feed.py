"""Feeds: what belongs to each, and what is asked before it is shown."""

import msgspec
import pytest

from eventfeed.domain import feed as feed_module
from eventfeed.domain.event import App, Event, marker, party_named, party_of_instance, served_reduced
from eventfeed.domain.feed import (
    AppFeed,
    Feed,
    Filter,
    InstanceFeed,
    PartyFeed,
    Query,
    Question,
    ReporteeFeed,
    ResourceFeed,
    question_of,
)
from tests.support.events import TTD, caller, entry, event, guid

KARI = caller(user="20000001")
BOLIG = "urn:altinn:resource:app_ttd_bolig"


@pytest.mark.parametrize(
    ("feed", "held", "other"),
    [
        (AppFeed(app=TTD), event(), event(app=App(org="ttd", name="bolig2"))),
        (PartyFeed(subject="/party/50000001", reader=KARI), event(), event(party=50000002)),
        (PartyFeed(subject="/party/50000001", reader=KARI), event(app=None, resource="urn:x"), event(app=None)),
        (ResourceFeed(resource=BOLIG, reader=KARI), event(), event(app=None, resource="urn:x")),
        (ReporteeFeed(types=frozenset("a")), event(type_="a"), event(type_="A")),
        (InstanceFeed(guid=guid(5), party=None), event(instance=5), event(instance=6)),
        (InstanceFeed(guid=guid(5), party="50000001"), event(instance=5), event(instance=5, party=50000002)),
    ],
)
def test_a_feed_holds_its_own(feed: Feed, held: Event, other: Event) -> None:
    """And nothing else."""
    assert (True, False) == (feed.holds(held), feed.holds(other))


def test_a_marker_is_in_nobodys_feed() -> None:
    """Neither an app's, a party's, a resource's nor an instance's."""
    feeds: list[Feed] = [
        AppFeed(app=TTD),
        PartyFeed(subject="", reader=KARI),
        ResourceFeed(resource="", reader=KARI),
        InstanceFeed(guid="", party=None),
        ReporteeFeed(types=frozenset({"instance.created"})),
    ]

    assert [] == [feed for feed in feeds if feed.holds(marker("x"))]


def test_the_question_is_about_resource_and_party() -> None:
    """Without a party when the subject is none; without a resource there is no question."""
    no_party = msgspec.structs.replace(event(), subject="/case/7")

    assert Question(resource=BOLIG, party="50000001") == question_of(event())
    assert Question(resource=BOLIG, party=None) == question_of(no_party)
    assert question_of(event(app=None)) is None
    assert question_of(event(app=None, resource="urn:" + "x" * 1_000)) is None


@pytest.mark.parametrize(
    ("subject", "party"),
    [("/party/5", "5"), ("/party/", None), ("/party/x", None), ("/party/5/6", None), ("/org/ttd", None), (None, None)],
)
def test_a_subject_names_a_party_or_none(subject: str | None, party: str | None) -> None:
    """The whole subject, digits alone."""
    assert party == party_named(subject)


def test_what_was_decided_on_is_searched_past() -> None:
    """By resource in a party's feed, by subject in a resource's; other feeds decide nothing."""
    hidden = [event(), event(app=App(org="ttd", name="b"), party=2), event(app=None)]
    of_party = Query(feed=PartyFeed(subject="/party/1", reader=KARI)).without(hidden)
    of_resource = Query(feed=ResourceFeed(resource=BOLIG, reader=KARI)).without(hidden)
    of_app = Query(feed=AppFeed(app=TTD))

    assert frozenset({BOLIG, "urn:altinn:resource:app_ttd_b"}) == of_party.filter.but_resources
    assert frozenset({"/party/50000001", "/party/2"}) == of_resource.filter.but_subjects
    assert of_app == of_app.without(hidden)


def test_a_search_names_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it, what is there already stays, and the rest is looked at."""
    monkeypatch.setattr(feed_module, "BUT_MAX", 2)
    query = Query(feed=ResourceFeed(resource=BOLIG, reader=KARI))
    two = query.without([event(party=1), event(party=2)])

    assert two == two.without([event(party=3)])


def test_a_filter_leaves_out_by_name() -> None:
    """Resources, and subjects, where "" stands for none."""
    nobody = msgspec.structs.replace(event(), subject=None)

    assert not Filter(but_resources=frozenset({BOLIG})).matches(event())
    assert not Filter(but_subjects=frozenset({""})).matches(nobody)
    assert Filter(but_resources=frozenset({"x"}), but_subjects=frozenset({"/party/1"})).matches(nobody)


def test_an_instances_party_stands_before_its_guid() -> None:
    """In the source of an app's event, in an attribute of any other, in none of the rest."""
    named = msgspec.structs.replace(event(app=None), body=b'{"resourceinstance": "77/%b"}' % guid(1).encode())
    elsewhere = msgspec.structs.replace(named, identity=msgspec.structs.replace(named.identity, source="https://x/y"))
    nowhere = msgspec.structs.replace(elsewhere, body=b'{"resourceinstance": "x"}')

    assert ("50000001", "77", None) == (
        party_of_instance(event()),
        party_of_instance(elsewhere),
        party_of_instance(nowhere),
    )


def test_anyone_sees_what_is_safe() -> None:
    """Six members, whatever the event holds, spelt as they were."""
    body = b'{"data":{"id":1},"id":"\\u00e5","type":"t","source":"https://x","subject":"/party/1","time":"T","specversion":"1.0"}'
    shown = served_reduced(entry(7, of=msgspec.structs.replace(event(), body=body)))

    assert {
        "specversion": "1.0",
        "id": "å",
        "source": "https://x",
        "type": "t",
        "time": "T",
        "sequence": "00000000000000000007",
    } == msgspec.json.decode(shown)
