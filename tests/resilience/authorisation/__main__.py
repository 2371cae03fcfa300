"""`make cases`: many of them."""

import argparse
import asyncio
import sys
import time

from tests.resilience.authorisation.readers import run


def main() -> int:
    """Walk the cases and tell what was wrong; the exit code says whether anything was."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--cases", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=time.time_ns())
    chosen = arguments.parse_args()
    print(f"seed {chosen.seed}, {chosen.cases} cases")
    started = time.monotonic()
    faults = list(asyncio.run(run(chosen.seed, cases=chosen.cases)))
    print("\n".join(faults[:20]))
    print(f"{len(faults)} faults in {time.monotonic() - started:.0f} s")
    return 1 if faults else 0


sys.exit(main())
