"""Validation of events: CloudEvents 1.0.2, and the further rules for events of apps."""

import pytest

from eventfeed.domain.cloudevents import app_event_faults, attribute_fault, event_faults

GUID = "6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c"
SOURCE = f"https://ttd.apps.example.no/ttd/bolig_1/instances/50000001/{GUID}"
VALID: dict[str, object] = {
    "id": "1",
    "source": SOURCE,
    "specversion": "1.0",
    "type": "instance.created",
    "subject": "/party/50000001",
}


def fault_names(**changes: object) -> list[str]:
    """The attributes with a fault after these changes to a valid event."""
    return [name for name, _ in event_faults({**VALID, **changes})]


def test_valid_event_has_no_fault() -> None:
    """This holds for the required attributes alone, and with every optional one."""
    extra = {
        "time": "2026-01-31T12:00:00Z",
        "alternativesubject": "any text",
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

    assert [] == fault_names()
    assert [] == fault_names(**extra)
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
        ("alternativesubject", ""),
        ("id", "U+FFFE \ufffe"),
        ("note", "U+FDD0 \ufdd0"),
        ("note", "U+1FFFF \U0001ffff"),
        ("note", "U+009B \x9b"),
        ("subject", "/party/01838012345"),
        ("subject", "U+FFFF \uffff"),
        ("source", "https://apps.example.no\\skd/ttd/x"),
        ("source", "https://apps%2fexample.no/ttd/x"),
        ("source", "https://apps<example.no/ttd/x"),
        ("source", 'https://apps"example.no/ttd/x'),
        ("source", "https://apps'example.no/ttd/x"),
        ("source", "https://apps.example.no/ttd/<x>"),
        ("source", "https://apps.example.no/ttd/ø"),
        ("source", "https://apps.example.no/ttd/%zz"),
        ("source", "https://apps.example.no:99999/ttd/x"),
        ("dataschema", "https://example.no/a schema"),
        ("dataschema", "urn:ø:x"),
        ("datacontenttype", "nonsense"),
        ("datacontenttype", "application/json;"),
        ("datacontenttype", "application / json"),
        ("traceparent", "x"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"),
        ("time", "2016-12-31T23:58:60Z"),
        ("dataschema", "relative"),
        ("dataschema", "https://[x"),
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
def test_invalid_attribute_gives_one_fault_with_its_name(name: str, value: object) -> None:
    """Other attributes have no fault."""
    assert [name] == fault_names(**{name: value})


def test_each_missing_attribute_gives_a_fault() -> None:
    """All faults are reported together."""
    assert ["id", "source", "specversion", "type"] == [name for name, _ in event_faults({})]


def test_event_with_both_kinds_of_data_has_a_fault() -> None:
    """`data` and `data_base64` exclude each other (CloudEvents JSON format §3.1.1)."""
    assert ["data_base64"] == fault_names(data={}, data_base64="eA==")


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
def test_source_with_an_ambiguous_spelling_has_a_fault(source: str) -> None:
    """A source is absolute https, without user information, dots, or double or escaped separators."""
    assert attribute_fault("source", source) is not None


@pytest.mark.parametrize("source", [f"{SOURCE}/data", f"{SOURCE}?x=1", "https://host/ttd/a"])
def test_app_event_with_another_source_has_a_fault(source: str) -> None:
    """The source of an app's event names an instance, and nothing after it."""
    assert ["source"] == [name for name, _ in app_event_faults({**VALID, "source": source})]


@pytest.mark.parametrize("subject", [None, "/org/1", "50000001"])
def test_app_event_without_a_party_as_subject_has_a_fault(subject: str | None) -> None:
    """The subject of an app's event is a party."""
    assert ["subject"] == [name for name, _ in app_event_faults({**VALID, "subject": subject})]


@pytest.mark.parametrize(
    "resource",
    [
        "urn:altinn:resource:app_ttd",
        "URN:ALTINN:RESOURCE:APP_ttd_a",
        "urn:altinn:resource:app__a",
        "urn:altinn:resource:app_ttd_a:b",
        "thing",
        "urn:thing",
        "urn:altinn:resource:ø",
        "urn:altinn:resource:a thing",
        "https://example.no/thing",
        "urn:altinn:resource:" + "x" * 1_000,
    ],
)
def test_resource_that_is_no_urn_or_resembles_an_app_has_a_fault(resource: str) -> None:
    """A resource is a URN of at most 1,000 characters. That of an app names org and app, in lower case."""
    source = "https://host/ttd/thing"

    assert ["resource"] == fault_names(source=source, resource=resource)
