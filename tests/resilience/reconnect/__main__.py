"""`make follow`: 100 broken connections and 20 kills of the consumer, under 500 events a second, on each engine."""

import subprocess
import sys
import tempfile

from tests.emulator.running import emulator
from tests.resilience.reconnect.reconnect import Ordeal, Verdict, endured
from tests.support.service import COMMAND, clean_environment

CUT = Ordeal(rate=500, seconds=40.0, cuts=100, kills=0)
KILLED = Ordeal(rate=500, seconds=20.0, cuts=0, kills=20)
# The emulator searches everything at each question: it bears no more.
SLOWLY = {
    "cut": Ordeal(rate=20, seconds=100.0, cuts=100, kills=0),
    "killed": Ordeal(rate=20, seconds=40.0, cuts=0, kills=20),
}


def told(engine: str, verdict: Verdict) -> bool:
    """Say what was found; whether it is good."""
    print(engine, verdict, flush=True)
    return verdict.good


def main() -> None:
    """Tell each verdict; the exit code is 1 when one is bad."""
    good = True
    for ordeal in (CUT, KILLED):
        verdict = endured(ordeal)
        good &= told("sqlite", verdict)
    with emulator() as url, tempfile.TemporaryDirectory() as folder:
        for name, ordeal in SLOWLY.items():
            store = f"cosmos://{url.removeprefix('http://').rstrip('/')}/{name}"
            environment = clean_environment(EVENTFEED_STORE=store)
            subprocess.run([COMMAND, "store", "create"], env=environment, cwd=folder, check=True, capture_output=True)
            verdict = endured(ordeal, EVENTFEED_STORE=store)
            good &= told("cosmos", verdict)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
