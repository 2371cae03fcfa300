"""The short form of the storm."""

import os

import pytest

from tests.emulator.running import available
from tests.resilience.stress.network import blow_on_cosmos
from tests.resilience.stress.stress import Size, blow


@pytest.mark.timeout(180)
def test_a_short_storm_loses_and_doubles_nothing() -> None:
    """Eight publishers, four followers, two workers, one of them killed in the middle."""
    verdict = blow(Size(events=4_000, publishing_processes=2, followers=4, workers=2, kills=1))

    assert (4_000, 1) == (verdict.events, verdict.killed)
    assert verdict.good, verdict


@pytest.mark.timeout(180)
@pytest.mark.skipif(not (available() or os.environ.get("CI")), reason="there is no emulator: `make test` installs it")
def test_a_short_storm_on_a_bad_network_loses_and_doubles_nothing() -> None:
    """Three service processes on one Cosmos DB emulator; a third of all answers are lost."""
    verdict = blow_on_cosmos(Size(events=600, publishing_processes=2, followers=4, workers=3, kills=0), seed=7)

    assert 600 == verdict.events
    assert verdict.good, verdict
