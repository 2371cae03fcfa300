"""`make stress`: 16 publishers, 8 followers, 3 workers, 100,000 events, two killed workers.

`make stress STORE=cosmos`: trials of 10,000 events and 4 processes on an emulator, of which one is killed every 8 to
16 s. In one the network loses 40 of 100 responses, in one it plays Azure's rules. In a third trial readers
read at several places while events expire.
"""

import asyncio
import sys

from tests.resilience.stress.cosmos_trial import RULES, Load, Plan, run_cosmos_trial
from tests.resilience.stress.retention_trial import run_retention_trial
from tests.resilience.stress.trial import Size, Verdict, run_trial

SQLITE = Size(events=100_000, publishing_processes=4, followers=8, workers=3, kills=2)
COSMOS = Size(events=10_000, publishing_processes=2, followers=6, workers=4, kills=1)
RETENTION, RETENTION_STEPS = "retention", 400
PLANS = {"losses": Plan(COSMOS), "rules": Plan(COSMOS, faults_rate=0.0, rules=RULES)}


def report(verdict: Verdict, size: Size) -> bool:
    """Print a verdict, and return True if it is good."""
    for name, value in verdict._asdict().items():
        print(f"{name:>18}  {value:,.1f}" if isinstance(value, float) else f"{name:>18}  {value:,}", flush=True)
    return verdict.good and verdict.events == size.events and verdict.kills >= size.kills


def report_load(load: Load) -> None:
    """Print the requests to the store."""
    print(f"{'requests':>18}  of each process {list(load.requests)}, at most {load.peak:.1f} a second")
    print(f"{'refused with 429':>18}  {load.refusals:,}")
    print(f"{'by fault':>18}  {dict(load.faults)}", flush=True)


def run_on_cosmos(name: str) -> bool:
    """Run a trial on Cosmos DB, print its figures, and return True if it is good."""
    print(f"Cosmos DB, {name}", flush=True)
    if name == RETENTION:
        verdict = asyncio.run(run_retention_trial(steps=RETENTION_STEPS))
        print(verdict, flush=True)
        return verdict.good
    trial_verdict, load = run_cosmos_trial(PLANS[name])
    report_load(load)
    return report(trial_verdict, PLANS[name].size)


if __name__ == "__main__":
    if sys.argv[1:2] == ["cosmos"]:
        good = [run_on_cosmos(name) for name in sys.argv[2:] or (*PLANS, RETENTION)]
    else:
        good = [report(run_trial(SQLITE), SQLITE)]
    sys.exit(0 if all(good) else 1)
