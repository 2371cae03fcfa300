"""`make copy ROWS=1000000 EVENTS=file.ndjson.gz`: a log from SQLite to an emulator of Cosmos DB and back."""

import sys
from pathlib import Path

from tests.resilience.copy.trial import run_trial


def main() -> int:
    """Run the trial, and print the rates of both copies."""
    events, file = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    verdict = run_trial(events, file=Path(file) if file else None)
    for name, copy in zip(("SQLite to Cosmos DB", "Cosmos DB to SQLite"), verdict.copies, strict=True):
        rates = [f"{events / seconds:.0f}" for seconds in (copy.seconds, copy.comparison_seconds)]
        print(f"{name}: {rates[0]} events a second, {rates[1]} compared\n{copy.output}", end="")
    print("the rows of both SQLite files are the same" if verdict.same else "the rows differ")
    return int(not verdict.same)


sys.exit(main())
