"""The short forms of the stress test."""

import os

import pytest

from tests.emulator.running import is_available
from tests.resilience.stress.cosmos_trial import RULES, Plan, run_cosmos_trial
from tests.resilience.stress.retention_trial import run_retention_trial
from tests.resilience.stress.trial import Size, run_trial

SMALL = Size(events=150, publishing_processes=1, followers=3, workers=2)
needs_emulator = pytest.mark.skipif(
    not (is_available() or os.environ.get("CI")), reason="there is no emulator: `make test` installs it"
)


def test_short_trial_loses_and_duplicates_no_event() -> None:
    """Eight publishers, four followers and two workers; one worker is killed."""
    verdict = run_trial(Size(events=4_000, publishing_processes=2, followers=4, workers=2, kills=1))

    assert (4_000, 1) == (verdict.events, verdict.kills)
    assert verdict.good, verdict


@needs_emulator
def test_short_trial_on_a_bad_network_loses_and_duplicates_no_event() -> None:
    """Two service processes use one Cosmos DB emulator, and 40 of 100 responses are lost."""
    verdict, _ = run_cosmos_trial(Plan(SMALL, seed=7))

    assert SMALL.events == verdict.events
    assert verdict.good, verdict


@needs_emulator
def test_short_trial_under_the_rules_of_azure_loses_and_duplicates_no_event() -> None:
    """Two service processes share partitions with a throughput, and replicas that lag."""
    verdict, _ = run_cosmos_trial(Plan(SMALL, faults_rate=0.0, rules=RULES))

    assert SMALL.events == verdict.events
    assert verdict.good, verdict


@needs_emulator
async def test_readers_miss_no_event_while_others_expire() -> None:
    """Events of a few weeks with a retention of ten days: documents expire, and so do the cursors of some readers."""
    verdict = await run_retention_trial(steps=115)

    assert verdict.good, verdict
