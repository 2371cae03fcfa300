"""Approvals: for every type asked, and not a moment longer than they say."""

import pytest

from eventfeed.domain.approval import Approval, require_approved
from eventfeed.domain.errors import Fault, NotApproved

APPROVAL = Approval(organisation="310000033", types=["a", "b"], valid_to=100, reason="x")


@pytest.mark.parametrize("types", [["a"], ["b"], ["a", "b"], frozenset("ab")])
def test_approved_types_may_be_read(types: list[str]) -> None:
    """One of them or all, until the moment before it ends."""
    require_approved(APPROVAL, types=types, now=99)


@pytest.mark.parametrize("now", [100, 101, 2**60])
def test_an_approval_ends(now: int) -> None:
    """At its moment, not after it."""
    with pytest.raises(NotApproved, match="expired"):
        require_approved(APPROVAL, types=["a"], now=now)


def test_nobody_is_approved_by_default() -> None:
    """No approval is no right."""
    with pytest.raises(NotApproved, match="not approved"):
        require_approved(None, types=["a"], now=0)


def test_what_is_not_covered_is_named() -> None:
    """Each type, in order; types are compared whole, and as they are spelt."""
    with pytest.raises(NotApproved) as refusal:
        require_approved(APPROVAL, types=["a", "A", "ab", "c"], now=0)

    details = [f"{type_} is not covered by the approval" for type_ in ("A", "ab", "c")]
    assert tuple(Fault(parameter="eventType", detail=detail) for detail in details) == refusal.value.faults
    assert refusal.value.scope is None
