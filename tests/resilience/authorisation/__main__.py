"""`make authorisation`: run many cases and print the failures."""

import argparse
import asyncio
import sys
import time

from tests.resilience.authorisation.readers import run


def main() -> int:
    """Run the cases and print the failures. The exit code is 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.cases} cases")
    start = time.monotonic()
    failures = list(asyncio.run(run(options.seed, cases=options.cases)))
    print("\n".join(failures[:20]))
    print(f"{len(failures)} failures in {time.monotonic() - start:.0f} s")
    return 1 if failures else 0


sys.exit(main())
