"""`make storm`: 16 publishers, 8 followers, 3 workers, 100,000 events, two workers killed.

`make storm STORE=cosmos`: 20 times 2,000 events on an emulator behind a network that loses answers.
"""

import sys

from tests.resilience.stress.network import blow_on_cosmos
from tests.resilience.stress.stress import Size, Verdict, blow

EMBEDDED = Size(events=100_000, publishing_processes=4, followers=8, workers=3, kills=2)
COSMOS = Size(events=2_000, publishing_processes=2, followers=4, workers=3, kills=2)
SEEDS = range(1, 21)


def told(verdict: Verdict, size: Size) -> bool:
    """Say what was found; whether it is good."""
    for name, value in verdict._asdict().items():
        print(f"{name:>18}  {value:,.1f}" if isinstance(value, float) else f"{name:>18}  {value:,}", flush=True)
    return verdict.good and (verdict.events, verdict.killed) == (size.events, size.kills)


if __name__ == "__main__":
    if sys.argv[1:] == ["cosmos"]:
        good = [told(blow_on_cosmos(COSMOS, seed=seed), COSMOS) for seed in SEEDS]
    else:
        good = [told(blow(EMBEDDED), EMBEDDED)]
    sys.exit(0 if all(good) else 1)
