"""Filters of readers: types with wildcards, types of apps, and sources by the segments of their paths."""

import pytest

from eventfeed.domain.event import Event
from eventfeed.domain.filters import is_source_filter, is_type_filter, source_conditions, type_conditions
from tests.support.events import event, guid

SOURCE = f"https://ttd.apps.example.no/ttd/bolig/instances/50000001/{guid(1)}"
OF_APP, OF_APP_WITHOUT = event(type_="app.instance.created", instance=1), event(type_="instance.created", instance=1)
OTHER, OTHER_WITHOUT = event(type_="app.instance.created", app=None), event(type_="instance.created", app=None)
ALL = [OF_APP, OF_APP_WITHOUT, OTHER, OTHER_WITHOUT]


def matching(events: list[Event], *types: str, of_apps: bool = False) -> list[Event]:
    """The events of these types."""
    conditions = type_conditions(types, of_apps=of_apps)
    return [each for each in events if all(condition.holds(each) for condition in conditions)]


@pytest.mark.parametrize(
    ("types", "events"),
    [
        (["instance.created"], [OF_APP, OF_APP_WITHOUT, OTHER_WITHOUT]),
        (["app.instance.created"], [OF_APP, OTHER]),
        (["instance.*"], [OF_APP, OF_APP_WITHOUT, OTHER_WITHOUT]),
        (["instance.%"], [OF_APP, OF_APP_WITHOUT, OTHER_WITHOUT]),
        (["app.*"], [OF_APP, OTHER]),
        (["*"], ALL),
        (["INSTANCE.created"], []),
        (["instance"], []),
        (["Instance.*"], []),
        (["created", "instance.c*"], [OF_APP, OF_APP_WITHOUT, OTHER_WITHOUT]),
        (["app.app.instance.created"], []),
        ([], ALL),
    ],
)
def test_type_filter_finds_types_of_apps_with_and_without_app_in_front(types: list[str], events: list[Event]) -> None:
    """Types are compared case-sensitively, and another event's type is compared as it stands."""
    assert events == matching(ALL, *types)


@pytest.mark.parametrize("types", [["instance.created"], ["app.instance.created"], ["instance.*"], ["*"], ["x"]])
def test_conditions_for_events_of_apps_find_the_same_events(types: list[str]) -> None:
    """They need one condition less, which an index covers."""
    of_apps = [OF_APP, OF_APP_WITHOUT]

    assert matching(of_apps, *types) == matching(of_apps, *types, of_apps=True)


@pytest.mark.parametrize(
    ("source", "matches"),
    [
        (SOURCE, True),
        (f"{SOURCE}/", False),
        ("https://ttd.apps.example.no/ttd/bolig", True),
        ("https://ttd.apps.example.no/ttd/bolig/", True),
        ("https://ttd.apps.example.no/ttd/boli", False),
        ("https://ttd.apps.example.no/ttd/boli*", True),
        ("https://ttd.apps.example.no/ttd/boli%", True),
        ("https://ttd.apps.example.no/ttd/bolig*", True),
        ("https://ttd.apps.example.no", True),
        ("https://ttd.apps.example", False),
        ("https://TTD.apps.example.no/ttd", False),
        ("htt*", True),
        ("*", True),
        ("x*", False),
    ],
)
def test_source_filter_finds_the_url_itself_and_below(source: str, *, matches: bool) -> None:
    """By segments of the path: the feed of `boli` does not have the events of `bolig`."""
    conditions = source_conditions([source, "https://elsewhere.example.no"])

    assert matches == all(condition.holds(event(instance=1)) for condition in conditions)


@pytest.mark.parametrize("text", ["a", "a*", "a%", "*", "%", "å", "a.b-c"])
def test_type_filter_may_end_in_a_wildcard(text: str) -> None:
    """It has no other."""
    assert is_type_filter(text)
    assert not is_type_filter(f"*{text}")


@pytest.mark.parametrize(
    ("text", "is_filter"),
    [
        ("https://x/a%20b", True),
        ("https://x/a%20*", True),
        ("urn:altinn:resource:x", True),
        ("urn:*", True),
        ("https://x/a%2", False),
        ("https://x/a*b", False),
        ("https://x/ a*", False),
        ("https://x/ø*", False),
        ("x", False),
        ("/x", False),
        ("", False),
    ],
)
def test_source_filter_is_a_uri_or_its_beginning(text: str, *, is_filter: bool) -> None:
    """Any other text could only find nothing."""
    assert is_filter == is_source_filter(text)
