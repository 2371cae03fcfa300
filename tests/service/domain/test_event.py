"""Events: what they must look like, and what an app's source implies."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.domain.event import (
    App,
    Identity,
    Implied,
    app_event_faults,
    app_of,
    event_faults,
    implied,
    instance_of,
    served_bytes,
    source_fault,
    speaks_for,
)
from tests.support.events import entry

GUID = "6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c"
SOURCE = f"https://ttd.apps.example.no/ttd/bolig_1/instances/50000001/{GUID}"
VALID: dict[str, object] = {
    "id": "1",
    "source": SOURCE,
    "specversion": "1.0",
    "type": "instance.created",
    "subject": "/party/50000001",
}


def faulty(**changes: object) -> list[str]:
    """The attributes found at fault when a valid event is changed."""
    return [name for name, _ in event_faults({**VALID, **changes})]


def test_a_valid_event_has_no_fault() -> None:
    """The minimum, and everything that is known beside it."""
    extra = {
        "time": "2026-01-31T12:00:00Z",
        "alternativesubject": "/organisation/310000011",
        "resource": "urn:altinn:resource:app_ttd_bolig_1",
        "resourceinstance": f"50000001/{GUID}",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "dataschema": "https://example.no/schema",
        "datacontenttype": "application/json",
        "urgent": True,
        "tries": 3,
        "note": "",
        "data": {"any": [1, None]},
    }

    assert [] == faulty()
    assert [] == faulty(**extra)
    assert [] == list(app_event_faults(VALID))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", ""),
        ("id", 7),
        ("id", "with\nnewline"),
        ("specversion", "0.3"),
        ("specversion", 1.0),
        ("type", ""),
        ("source", "http://ttd.apps.example.no/ttd/a"),
        ("source", "/ttd/a"),
        ("subject", "/party/fifty"),
        ("time", "yesterday"),
        ("time", "2026-01-31T12:00:00"),
        ("alternativesubject", "/person/123"),
        ("alternativesubject", "/organisation/0123456789"),
        ("dataschema", "relative"),
        ("resource", "urn:altinn:resource:app_skd_bolig_1"),
        ("resource", 5),
        ("resourceinstance", f"50000002/{GUID}"),
        ("sequence", "00000000000000000001"),
        ("Upper", "x"),
        ("under_score", "x"),
        ("float", 1.5),
        ("big", 2**31),
        ("object", {"a": 1}),
        ("list", []),
        ("data_base64", "not base64!"),
        ("data_base64", 5),
    ],
)
def test_each_wrong_attribute_is_named(name: str, value: object) -> None:
    """One wrong attribute gives one fault, with its name."""
    assert [name] == faulty(**{name: value})


def test_every_missing_attribute_is_named() -> None:
    """All faults at once."""
    assert ["id", "source", "specversion", "type"] == [name for name, _ in event_faults({})]


def test_data_stands_once() -> None:
    """`data` and `data_base64` exclude each other."""
    assert ["data_base64"] == faulty(data={}, data_base64="eA==")


@pytest.mark.parametrize(
    "source",
    [
        "https://user@host/ttd/a",
        "https://user:word@host/ttd/a",
        "https://host/ttd/../skd/a",
        "https://host/ttd/./a",
        "https://host//ttd/a",
        "https://host/ttd%2Fa",
        "https://host/ttd%2fa",
        "https://host/ttd/%2e%2e/skd",
        "https://host/ttd\\a",
        "https://host/ttd%5Ca",
        "https://host/ttd/a b",
        "https:///ttd/a",
        "https://host:port/ttd/a",
        "https://[host/ttd/a",
        "ftp://host/ttd/a",
        "ttd",
    ],
)
def test_a_source_has_one_plain_spelling(source: str) -> None:
    """No user information, no dots or doubled or escaped separators, absolute https."""
    assert source_fault(source) is not None


def test_what_an_apps_source_implies() -> None:
    """Org and app as two fields, the resource and the instance."""
    known = implied(SOURCE)

    assert Implied(app=App(org="ttd", name="bolig_1"), party="50000001", guid=GUID) == known
    assert ("urn:altinn:resource:app_ttd_bolig_1", f"50000001/{GUID}") == (known.resource, known.resourceinstance)


@pytest.mark.parametrize(
    "source",
    [
        f"{SOURCE}/data",
        f"{SOURCE}?x=1",
        f"{SOURCE}#x",
        "https://host/ttd/a",
        f"https://host/tt_d/a/instances/1/{GUID}",
        f"https://host/ttd/a/instances/x/{GUID}",
        "https://host/ttd/a/instances/1/not-a-guid",
    ],
)
def test_other_sources_imply_nothing(source: str) -> None:
    """Only the whole form is an app's; /app refuses the others."""
    assert implied(source) is None
    assert ["source"] == [name for name, _ in app_event_faults({**VALID, "source": source})]


@pytest.mark.parametrize("subject", [None, "/org/1", "50000001"])
def test_an_apps_event_is_about_a_party(subject: str | None) -> None:
    """Its subject is a party."""
    assert ["subject"] == [name for name, _ in app_event_faults({**VALID, "subject": subject})]


def test_an_event_belongs_to_its_sources_app_before_its_resources() -> None:
    """A source that is an app's decides; else the resource may name one, its org up to the first underscore."""
    assert App(org="ttd", name="bolig_1") == app_of(SOURCE, None)
    assert App(org="skd", name="a_b") == app_of("https://host/skd/x", "urn:altinn:resource:app_skd_a_b")
    assert app_of("https://host/skd/x", "urn:altinn:resource:other") is None
    assert instance_of("https://host/skd/x", f"1/{GUID.upper()}") == GUID == instance_of(SOURCE, None)
    assert instance_of("https://host/skd/x", "elsewhere") is None


@pytest.mark.parametrize(
    ("org", "source", "app", "may"),
    [
        ("ttd", SOURCE, App(org="ttd", name="bolig_1"), True),
        ("ttd", "https://host/ttd/thing", None, True),
        ("ttd", "https://host/ttd", None, True),
        ("tt", SOURCE, App(org="ttd", name="bolig_1"), False),
        ("ttd", "https://host/ttdx/thing", None, False),
        ("ttd", "https://ttd/skd/thing", None, False),
        ("ttd", "https://host/thing/ttd", None, False),
        ("ttd", "https://host/ttd/thing", App(org="skd", name="a"), False),
        ("ttd", "https://host/ttd-b/thing", None, False),
        (None, SOURCE, App(org="ttd", name="bolig_1"), False),
    ],
)
def test_a_publisher_speaks_for_its_own_org_alone(org: str | None, source: str, app: App | None, *, may: bool) -> None:
    """The first path segment, whole, and any app, are the publisher's."""
    assert may is speaks_for(org, source=source, app=app)


@given(first=st.tuples(st.text(), st.text()), second=st.tuples(st.text(), st.text()))
def test_identities_differ_when_either_part_does(first: tuple[str, str], second: tuple[str, str]) -> None:
    """No two pairs of source and id share a digest, however they are cut."""
    one, other = (Identity(source=source, id=id_) for source, id_ in (first, second))

    assert (one == other) is (one.digest() == other.digest())


def test_an_event_is_served_as_published_with_its_sequence() -> None:
    """The sequence is spliced in as 20 digits; the length is known beforehand."""
    stored = entry(42)
    decoded = msgspec.json.decode(stored.served, type=dict[str, object])

    assert "00000000000000000042" == decoded.pop("sequence")
    assert msgspec.json.decode(stored.event.body) == decoded
    assert len(stored.served) == served_bytes(stored)
