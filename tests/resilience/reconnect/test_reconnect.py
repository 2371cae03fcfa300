"""The short form of the reconnect test."""

import pytest

from tests.resilience.reconnect.trial import Trial, run_trial


@pytest.mark.parametrize(
    "trial",
    [Trial(rate=500, seconds=5.0, cuts=12, kills=0), Trial(rate=500, seconds=5.0, cuts=0, kills=4)],
    ids=["cut connections", "killed consumers"],
)
def test_disrupted_consumer_gets_every_event_once_and_in_order(trial: Trial) -> None:
    """Neither broken connections nor SIGKILL lose, repeat or reorder an event."""
    verdict = run_trial(trial)

    assert verdict.good, verdict
    assert verdict.events >= trial.rate * trial.seconds
    assert (trial.cuts, trial.kills) == (verdict.cuts, verdict.kills)
