"""`make stress`: 16 publishers, 8 followers, 3 workers, 100,000 events, two killed workers.

`make stress STORE=cosmos`: 20 trials of 2,000 events, on an emulator behind a network that loses responses.
"""

import sys

from tests.resilience.stress.cosmos_trial import run_cosmos_trial
from tests.resilience.stress.trial import Size, Verdict, run_trial

SQLITE = Size(events=100_000, publishing_processes=4, followers=8, workers=3, kills=2)
COSMOS = Size(events=2_000, publishing_processes=2, followers=4, workers=3, kills=2)
SEEDS = range(1, 21)


def report(verdict: Verdict, size: Size) -> bool:
    """Print a verdict, and return True if it is good."""
    for name, value in verdict._asdict().items():
        print(f"{name:>18}  {value:,.1f}" if isinstance(value, float) else f"{name:>18}  {value:,}", flush=True)
    return verdict.good and (verdict.events, verdict.kills) == (size.events, size.kills)


if __name__ == "__main__":
    if sys.argv[1:] == ["cosmos"]:
        good = [report(run_cosmos_trial(COSMOS, seed=seed), COSMOS) for seed in SEEDS]
    else:
        good = [report(run_trial(SQLITE), SQLITE)]
    sys.exit(0 if all(good) else 1)
