"""The short form of the ordeal."""

import pytest

from tests.resilience.reconnect.reconnect import Ordeal, endured


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "ordeal",
    [Ordeal(rate=500, seconds=5.0, cuts=12, kills=0), Ordeal(rate=500, seconds=5.0, cuts=0, kills=4)],
    ids=["connections cut", "consumer killed"],
)
def test_a_consumer_has_everything_once_and_in_order(ordeal: Ordeal) -> None:
    """However often its connection breaks and however it dies."""
    verdict = endured(ordeal)

    assert verdict.good, verdict
    assert verdict.events >= ordeal.rate * ordeal.seconds
    assert (ordeal.cuts, ordeal.kills) == (verdict.cuts, verdict.kills)
