"""Approvals: the newest of each organisation counts, and a seed brings back nothing."""

from eventfeed.domain.approval import Approval
from eventfeed.domain.ports import Approvals

BANK = Approval(organisation="310000033", types=["estate.created"], valid_to=2**50, reason="first")


async def test_an_approval_is_found(access: Approvals) -> None:
    """By the organisation's number, as it was given."""
    before = await access.approval(BANK.organisation)
    await access.approve(BANK)

    assert before is None
    assert BANK == await access.approval(BANK.organisation)
    assert await access.approval("310000044") is None


async def test_the_newest_counts(access: Approvals) -> None:
    """It takes the place of the one before."""
    newer = Approval(organisation=BANK.organisation, types=["other"], valid_to=1, reason="second")
    await access.approve(BANK)
    await access.approve(newer)

    assert newer == await access.approval(BANK.organisation)


async def test_a_withdrawn_one_is_gone(access: Approvals) -> None:
    """Withdrawing says whether there was one."""
    await access.approve(BANK)
    withdrawn = [await access.withdraw(BANK.organisation) for _ in range(2)]

    assert [True, False] == withdrawn
    assert await access.approval(BANK.organisation) is None


async def test_a_seed_gives_way_to_any_decision(access: Approvals) -> None:
    """It counts where nothing was decided, and changes nothing where something was, withdrawal included."""
    await access.approve(BANK, seed=True)
    changed = Approval(organisation=BANK.organisation, types=["other"], valid_to=1, reason="second")
    await access.approve(changed)
    await access.approve(BANK, seed=True)
    kept = await access.approval(BANK.organisation)
    await access.withdraw(BANK.organisation)
    await access.approve(BANK, seed=True)

    assert changed == kept
    assert await access.approval(BANK.organisation) is None


async def test_an_organisation_may_be_approved_again(access: Approvals) -> None:
    """Withdrawal is no ban."""
    await access.approve(BANK)
    await access.withdraw(BANK.organisation)
    await access.approve(BANK)

    assert BANK == await access.approval(BANK.organisation)
