"""`make fuzz`: send mutated requests, and print what came back."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.resilience.fuzz.trial import LIMITS, Report, fuzz_application, fuzz_server
from tests.support.service import running_service

# Of all requests, those to a real server.
SERVER_SHARE = 100


def main() -> int:
    """Run both parts. The exit code is 1 if an answer is a 5xx or takes too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.count} requests", flush=True)
    reports = dict[str, Report]()
    with tempfile.TemporaryDirectory() as folder:
        count = options.count - options.count // SERVER_SHARE
        reports["application"] = asyncio.run(
            fuzz_application(Path(folder, "application"), seed=options.seed, count=count, show=True)
        )
        with running_service(Path(folder, "server"), **LIMITS) as service:
            reports["server"] = fuzz_server(service, seed=options.seed, count=options.count // SERVER_SHARE)
    for name, report in reports.items():
        print(f"{name}: {report}")
        print("".join(f"  {failure}\n" for failure in report.failures), end="")
    return 1 if any(report.failures for report in reports.values()) else 0


sys.exit(main())
