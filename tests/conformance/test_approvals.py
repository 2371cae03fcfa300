"""`Approvals`: an organisation has one approval, and a seed never replaces a decision."""

from eventfeed.domain.approval import Approval
from eventfeed.domain.ports import Approvals

BANK = Approval(organisation="310000033", types=["estate.created"], valid_to=2**50, reason="first")
NEWER = Approval(organisation=BANK.organisation, types=["other"], valid_to=1, reason="second")


async def test_approval_returns_as_it_was_stored(records: Approvals) -> None:
    """An organisation without an approval gets None."""
    before = await records.approval(BANK.organisation)
    await records.approve(BANK)

    assert before is None
    assert BANK == await records.approval(BANK.organisation)
    assert await records.approval("310000044") is None


async def test_newer_approval_replaces_the_older_one(records: Approvals) -> None:
    """An organisation has one approval, the newest."""
    await records.approve(BANK)
    await records.approve(NEWER)

    assert NEWER == await records.approval(BANK.organisation)


async def test_withdrawal_removes_the_approval_once(records: Approvals) -> None:
    """A withdrawal returns True if there was an approval."""
    await records.approve(BANK)
    results = [await records.withdraw(BANK.organisation) for _ in range(2)]

    assert [True, False] == results
    assert await records.approval(BANK.organisation) is None


async def test_seed_never_replaces_an_earlier_decision(records: Approvals) -> None:
    """A seed is stored if there was no decision before; a withdrawal is a decision too."""
    await records.approve(BANK, seed=True)
    await records.approve(NEWER)
    await records.approve(BANK, seed=True)
    after_seed = await records.approval(BANK.organisation)
    await records.withdraw(BANK.organisation)
    await records.approve(BANK, seed=True)

    assert NEWER == after_seed
    assert await records.approval(BANK.organisation) is None


async def test_organisations_with_a_decision_are_listed(records: Approvals) -> None:
    """A withdrawal is a decision too."""
    await records.approve(NEWER)
    other = Approval(organisation="310000011", types=["other"], valid_to=1, reason="third")
    await records.approve(other, seed=True)
    await records.withdraw(NEWER.organisation)
    await records.withdraw("310000044")

    assert [other.organisation, NEWER.organisation] == list(await records.organisations())


async def test_organisation_can_be_approved_after_withdrawal(records: Approvals) -> None:
    """A withdrawal does not prevent a new approval."""
    await records.approve(BANK)
    await records.withdraw(BANK.organisation)
    await records.approve(BANK)

    assert BANK == await records.approval(BANK.organisation)
