"""App, instance and party, as source, resource and subject of an event name them."""

import msgspec
import pytest

from eventfeed.domain.app_source import (
    AppSource,
    app_of,
    instance_of,
    may_publish,
    parse_app,
    parse_app_source,
    party_of_instance,
    party_of_subject,
)
from eventfeed.domain.cloudevents import app_event_faults
from eventfeed.domain.event import App
from tests.support.events import event, guid

GUID = "6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c"
SOURCE = f"https://ttd.apps.example.no/ttd/bolig_1/instances/50000001/{GUID}"
BOLIG = App(org="ttd", name="bolig_1")


def test_source_of_an_app_gives_app_resource_and_instance() -> None:
    """Org and app are separate fields."""
    app_source = parse_app_source(SOURCE)

    assert app_source == AppSource(
        app=BOLIG,
        party="50000001",
        instance=GUID,
        resource="urn:altinn:resource:app_ttd_bolig_1",
        resourceinstance=f"50000001/{GUID}",
    )


@pytest.mark.parametrize(
    "source",
    [
        f"{SOURCE}/data",
        f"{SOURCE}?x=1",
        f"{SOURCE}?",
        f"{SOURCE}#x",
        f"{SOURCE}#",
        f"{SOURCE}/",
        SOURCE.replace("-", ""),
        SOURCE.replace("50000001", "01838012345"),
        SOURCE.replace("bolig", "%62olig"),
        SOURCE.replace("bolig", "b" * 201),
        "https://host/ttd/a",
        f"https://host/tt_d/a/instances/1/{GUID}",
        f"https://host/ttd/a/instances/x/{GUID}",
        "https://host/ttd/a/instances/1/not-a-guid",
    ],
)
def test_other_source_is_no_source_of_an_app(source: str) -> None:
    """Only the whole form is the source of an app, and an app's event needs one."""
    attributes = {"source": source, "subject": "/party/50000001"}

    assert parse_app_source(source) is None
    assert ["source"] == [name for name, _ in app_event_faults(attributes)]


@pytest.mark.parametrize(
    ("org", "name", "app"),
    [
        ("ttd", "bolig_1", BOLIG),
        ("ttd", "", None),
        ("tt_d", "bolig", None),
        ("ttd", "a/b", None),
        ("ttd/a", "b", None),
        ("ttd", "bolig\n", None),
    ],
)
def test_parse_app_accepts_only_valid_names(org: str, name: str, app: App | None) -> None:
    """An org has letters, digits and hyphens; the name of an app also dots and underscores."""
    assert app == parse_app(org, name)


def test_resource_of_an_app_names_its_org_up_to_the_first_underscore() -> None:
    """The name of the app may hold underscores. Other resources, and none, name no app."""
    assert App(org="skd", name="a_b") == app_of("urn:altinn:resource:app_skd_a_b")
    assert app_of("urn:altinn:resource:other") is app_of(None) is None


def test_instance_of_an_event_is_a_guid_in_lower_case() -> None:
    """An app's source names it, or else the attribute `resourceinstance`."""
    app_source = parse_app_source(SOURCE.replace(GUID, GUID.upper()))

    assert app_source is not None
    assert GUID == app_source.instance == instance_of(f"1/{GUID.upper()}")
    assert instance_of("elsewhere") is instance_of(None) is None


def test_party_of_an_instance_precedes_its_guid() -> None:
    """The party is in the source of an app's event, in an attribute of other events, or absent."""
    other = event(app=None)
    other = msgspec.structs.replace(
        other,
        identity=msgspec.structs.replace(other.identity, source="https://x/y"),
        body=b'{"resourceinstance": "77/%b"}' % guid(1).encode(),
    )
    without_instance = msgspec.structs.replace(other, body=b'{"resourceinstance": "x"}')

    assert "50000001" == party_of_instance(event())
    assert "77" == party_of_instance(other)
    assert party_of_instance(without_instance) is None


@pytest.mark.parametrize(
    ("subject", "party"),
    [("/party/5", "5"), ("/party/", None), ("/party/x", None), ("/party/5/6", None), ("/org/ttd", None), (None, None)],
)
def test_party_of_a_subject_is_the_digits_after_party(subject: str | None, party: str | None) -> None:
    """The whole subject is `/party/` and digits; any other subject is no party."""
    assert party == party_of_subject(subject)


@pytest.mark.parametrize(
    ("org", "source", "app", "is_allowed"),
    [
        ("ttd", SOURCE, BOLIG, True),
        ("ttd", "https://host/ttd/thing", BOLIG, True),
        ("ttd", "https://host/ttd", BOLIG, True),
        ("tt", SOURCE, BOLIG, False),
        ("ttd", "https://host/ttdx/thing", BOLIG, False),
        ("ttd", "https://ttd/skd/thing", BOLIG, False),
        ("ttd", "https://host/thing/ttd", BOLIG, False),
        ("ttd", "https://host/ttd/thing", App(org="skd", name="a"), False),
        ("ttd", "https://host/ttd-b/thing", BOLIG, False),
        (None, SOURCE, BOLIG, False),
    ],
)
def test_publisher_may_publish_only_for_its_own_org(
    org: str | None, source: str, app: App, *, is_allowed: bool
) -> None:
    """The first path segment of the source, as a whole, and the app's org are the publisher's org."""
    assert is_allowed is may_publish(org, source=source, app=app)
