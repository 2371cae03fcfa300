"""The short form of the stress test."""

import os

import pytest

from tests.emulator.running import is_available
from tests.resilience.stress.cosmos_trial import run_cosmos_trial
from tests.resilience.stress.trial import Size, run_trial


def test_short_trial_loses_and_duplicates_no_event() -> None:
    """Eight publishers, four followers and two workers; one worker is killed."""
    verdict = run_trial(Size(events=4_000, publishing_processes=2, followers=4, workers=2, kills=1))

    assert (4_000, 1) == (verdict.events, verdict.kills)
    assert verdict.good, verdict


@pytest.mark.skipif(
    not (is_available() or os.environ.get("CI")), reason="there is no emulator: `make test` installs it"
)
def test_short_trial_on_a_bad_network_loses_and_duplicates_no_event() -> None:
    """Three service processes use one Cosmos DB emulator, and a third of all responses are lost."""
    verdict = run_cosmos_trial(Size(events=600, publishing_processes=2, followers=4, workers=3, kills=0), seed=7)

    assert 600 == verdict.events
    assert verdict.good, verdict
