"""Conditions on the fields of an event."""

import msgspec
import pytest

from eventfeed.domain.app_source import party_of_instance
from eventfeed.domain.conditions import AnyOf, Condition, Equal, Field, Matches, NoneOf, value_of
from eventfeed.domain.event import Event
from tests.support.conditions import conditions
from tests.support.events import event, guid

BOLIG = "urn:altinn:resource:app_ttd_bolig"
EVENT = event("a", instance=5)
BARE = msgspec.structs.replace(event("b", app=None), subject=None)


@pytest.mark.parametrize(
    ("field", "value", "bare_value"),
    [
        ("id", "a", "b"),
        ("source", EVENT.identity.source, BARE.identity.source),
        ("type", "instance.created", "instance.created"),
        ("subject", "/party/50000001", None),
        ("org", "ttd", None),
        ("app", "bolig", None),
        ("instance", guid(5), None),
        ("instance_party", "50000001", party_of_instance(BARE)),
        ("resource", BOLIG, None),
        ("alternativesubject", None, None),
    ],
)
def test_value_of_a_field_is_that_of_the_event_or_none(field: Field, value: str, bare_value: str | None) -> None:
    """An event without app, subject and resource has no value of their fields."""
    assert (value, bare_value) == (value_of(EVENT, field), value_of(BARE, field))


@pytest.mark.parametrize(
    ("condition", "holds", "holds_without_value"),
    [
        (Equal("resource", BOLIG), True, False),
        (Equal("resource", BOLIG.upper()), False, False),
        (Equal("resource", ""), False, False),
        (AnyOf("resource", frozenset({"x", BOLIG})), True, False),
        (AnyOf("resource", frozenset({"x", "y"})), False, False),
        (AnyOf("resource", frozenset()), False, False),
        (Matches("resource", prefixes=frozenset({"urn:altinn:"})), True, False),
        (Matches("resource", prefixes=frozenset({BOLIG, "x"})), True, False),
        (Matches("resource", prefixes=frozenset({f"{BOLIG}x"})), False, False),
        (Matches("resource", values=frozenset({BOLIG, "x"})), True, False),
        (Matches("resource", values=frozenset({BOLIG[:-1]})), False, False),
        (Matches("resource", prefixes=frozenset({""})), True, False),
        (Matches("resource"), False, False),
        (NoneOf("resource", frozenset({"x"})), True, True),
        (NoneOf("resource", frozenset({BOLIG})), False, True),
        (NoneOf("resource", frozenset({""})), True, False),
    ],
)
def test_condition_holds_for_matching_values(condition: Condition, *, holds: bool, holds_without_value: bool) -> None:
    """Values are compared as whole, case-sensitive texts. "" among exclusions stands for an absent field."""
    assert (holds, holds_without_value) == (condition.holds(EVENT), condition.holds(BARE))


@pytest.mark.parametrize(
    ("exclusions", "excluded_event", "other_event"),
    [
        (conditions(but_resources={BOLIG}), EVENT, BARE),
        (conditions(but_subjects={""}), BARE, EVENT),
    ],
)
def test_exclusions_leave_out_events_by_resource_and_subject(
    exclusions: tuple[Condition, ...], excluded_event: Event, other_event: Event
) -> None:
    """Each excludes its own values and nothing else."""
    assert not all(condition.holds(excluded_event) for condition in exclusions)
    assert all(condition.holds(other_event) for condition in exclusions)


def test_event_passes_exclusions_of_other_values() -> None:
    """Resource and subject may be excluded together."""
    assert all(each.holds(BARE) for each in conditions(but_resources={"x"}, but_subjects={"/party/1"}))
