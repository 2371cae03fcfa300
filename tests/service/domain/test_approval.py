"""Approvals: every type of the request, until the moment of their end."""

import pytest

from eventfeed.domain.approval import Approval, require_approval
from eventfeed.domain.errors import Fault, NotApproved

APPROVAL = Approval(organisation="310000033", types=["a", "b"], valid_to=100, reason="x")


@pytest.mark.parametrize("types", [["a"], ["b"], ["a", "b"], frozenset("ab")])
def test_types_of_a_valid_approval_are_accepted(types: list[str]) -> None:
    """A request may have one of the types or all, until the moment before the approval ends."""
    require_approval(APPROVAL, types=types, now=99)


@pytest.mark.parametrize("now", [100, 101, 2**60])
def test_approval_after_its_end_is_refused(now: int) -> None:
    """The end itself is no longer part of the approval."""
    with pytest.raises(NotApproved, match="expired"):
        require_approval(APPROVAL, types=["a"], now=now)


def test_organisation_without_approval_is_refused() -> None:
    """An organisation has no right by default."""
    with pytest.raises(NotApproved, match="not approved"):
        require_approval(None, types=["a"], now=0)


def test_refusal_names_each_type_outside_the_approval() -> None:
    """There is a fault for each type, in order. Types are compared as whole, case-sensitive texts."""
    with pytest.raises(NotApproved) as refusal:
        require_approval(APPROVAL, types=["a", "A", "ab", "c"], now=0)

    details = [f"{type_} is not covered by the approval" for type_ in ("A", "ab", "c")]
    assert tuple(Fault(parameter="eventType", detail=detail) for detail in details) == refusal.value.faults
    assert refusal.value.scope is None
