"""Hypothesis strategies: logs with entries of several apps, and every feed with the filters that it accepts."""

from hypothesis import strategies as st

from eventfeed.domain.event import App, Entry
from eventfeed.domain.feed import Feed, app_feed, instance_feed, party_feed, reportee_feed, resource_feed, unit_feed
from tests.support.conditions import conditions
from tests.support.events import TTD, caller, entry, event, guid

APPS = [TTD, App(org="ttd", name="b"), App(org="ttd-b", name="olig"), App(org="skd", name="bolig")]
TYPES = ["instance.created", "instance.process.completed", "instance.deleted"]
APP_TYPES = [f"app.{type_}" for type_ in TYPES]
TYPE_PATTERNS = [*TYPES, *APP_TYPES, "instance.*", "app.instance.p%", "app.*", "*", "x*"]
PARTIES = [50000001, 50000002]
SUBJECTS = [f"/party/{party}" for party in PARTIES]
RESOURCES = [f"urn:altinn:resource:app_{app.org}_{app.name}" for app in APPS]
OTHER_RESOURCE = "urn:altinn:resource:other"
SOURCE_PREFIXES = ["https://ttd.", "https://ttd.apps.example.no/ttd/b", "https://s"]
FEEDS: list[Feed] = [
    *(app_feed(app) for app in APPS),
    *(party_feed(f"/party/{party}", caller(user="1")) for party in [*PARTIES, 3]),
    unit_feed(frozenset(SUBJECTS), caller(user="1")),
    *(resource_feed(resource, caller(user="1")) for resource in [*RESOURCES, OTHER_RESOURCE]),
    reportee_feed(frozenset(TYPES[:1])),
    reportee_feed(frozenset(TYPES)),
    *(instance_feed(guid(number), None) for number in (1, 2, 9)),
]


@st.composite
def populations(draw: st.DrawFn) -> list[Entry]:
    """A small log over several apps, resources, types, parties and instances."""
    count = draw(st.integers(0, 30))
    return [
        entry(
            sequence,
            of=event(
                type_=draw(st.sampled_from([*TYPES, *APP_TYPES])),
                app=draw(st.sampled_from([*APPS, None])),
                party=draw(st.sampled_from(PARTIES)),
                instance=draw(st.integers(1, 3)),
                resource=draw(st.sampled_from([None, OTHER_RESOURCE])),
            ),
        )
        for sequence in range(1, count + 1)
    ]


@st.composite
def filtered_feeds(draw: st.DrawFn) -> Feed:
    """Any feed with any filters that it accepts."""
    feed = draw(st.sampled_from(FEEDS))
    has_party = feed.name in ("party", "instance")
    party = None if has_party else draw(st.none() | st.sampled_from(PARTIES))
    hidden_resources = draw(st.sets(st.sampled_from(RESOURCES))) if feed.name == "party" else ()
    hidden_subjects = draw(st.sets(st.sampled_from(SUBJECTS))) if feed.name == "resource" else ()
    filters = conditions(
        types=() if feed.name == "reportees" else draw(st.sets(st.sampled_from(TYPES))),
        type_patterns=draw(st.sets(st.sampled_from(TYPE_PATTERNS), max_size=3)),
        subject=None if party is None else f"/party/{party}",
        source=draw(st.none() | st.sampled_from(SOURCE_PREFIXES)),
        but_resources=hidden_resources,
        but_subjects=hidden_subjects,
    )
    return feed.where(*filters)
