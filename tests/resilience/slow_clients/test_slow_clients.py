"""The short form of the test with slow clients."""

import statistics
import sys

import pytest

from tests.resilience.slow_clients.trial import Trial, run_trial

TRIAL = Trial(silent=100, pages=60, streams=60, seconds=6.0)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_slow_clients_hold_little_memory_and_delay_no_other_caller() -> None:
    """One caller holds at most a quarter of the memory of responses; other requests for large pages get 503."""
    verdict = run_trial(TRIAL)

    assert statistics.median(verdict.probes) < 0.25, verdict
    assert verdict.stream_kib(TRIAL) < 600, verdict
    assert verdict.highest < verdict.before + 450 * 1024, verdict
    assert verdict.refusals > TRIAL.pages // 2, verdict
    assert verdict.after < verdict.before + 150 * 1024, verdict
