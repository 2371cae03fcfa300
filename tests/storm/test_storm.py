"""The short form of the storm."""

import pytest

from tests.storm.storm import Size, blow


@pytest.mark.timeout(180)
def test_a_short_storm_loses_and_doubles_nothing() -> None:
    """Eight publishers, four followers, two workers, one of them killed in the middle."""
    verdict = blow(Size(events=4_000, publishing_processes=2, followers=4, workers=2, kills=1))

    assert (4_000, 1) == (verdict.events, verdict.killed)
    assert verdict.good, verdict
