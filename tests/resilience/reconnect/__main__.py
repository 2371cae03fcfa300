"""`make reconnect`: 100 broken connections and 20 killed consumers, at 500 events a second, on each engine."""

import subprocess
import sys
import tempfile

from tests.emulator.running import emulator
from tests.resilience.reconnect.trial import Trial, Verdict, run_trial
from tests.support.service import COMMAND, clean_environment

CUT_TRIAL = Trial(rate=500, seconds=40.0, cuts=100, kills=0)
KILL_TRIAL = Trial(rate=500, seconds=20.0, cuts=0, kills=20)
# The emulator examines every document for each query: a higher rate overloads it.
COSMOS_TRIALS = {
    "cut": Trial(rate=20, seconds=100.0, cuts=100, kills=0),
    "killed": Trial(rate=20, seconds=40.0, cuts=0, kills=20),
}


def report(engine: str, verdict: Verdict) -> bool:
    """Print a verdict, and return True if it is good."""
    print(engine, verdict, flush=True)
    return verdict.good


def main() -> None:
    """Run every trial and print its verdict. The exit code is 1 if one is bad."""
    good = True
    for trial in (CUT_TRIAL, KILL_TRIAL):
        good &= report("sqlite", run_trial(trial))
    with emulator() as url, tempfile.TemporaryDirectory() as folder:
        for name, trial in COSMOS_TRIALS.items():
            store = f"cosmos://{url.removeprefix('http://').rstrip('/')}/{name}"
            environment = clean_environment(EVENTFEED_STORE=store)
            subprocess.run([COMMAND, "store", "create"], env=environment, cwd=folder, check=True, capture_output=True)
            good &= report("cosmos", run_trial(trial, EVENTFEED_STORE=store))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
