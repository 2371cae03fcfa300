"""`make slow-clients`: 1,000 silent connections, 1,000 slow readers of pages of 8 MiB, and 500 slow streams."""

import sys

from tests.resilience.slow_clients.trial import Trial, run_trial

FULL_TRIAL = Trial(silent=1_000, pages=1_000, streams=500, seconds=40.0)
PROBE_SECONDS_MAX = 0.25
STREAM_KIB_MAX = 300


def main() -> None:
    """Run the trial and print its verdict. The exit code is 1 if a probe was late or memory did not return."""
    verdict = run_trial(FULL_TRIAL)
    print(verdict, f"{verdict.stream_kib(FULL_TRIAL):.0f} KiB for each stream", sep="; ", flush=True)
    late = max(verdict.probes) >= PROBE_SECONDS_MAX
    sys.exit(late or verdict.stream_kib(FULL_TRIAL) > STREAM_KIB_MAX or verdict.after > verdict.before + 150 * 1024)


if __name__ == "__main__":
    main()
