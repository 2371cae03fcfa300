"""`make storm`: 16 publishers, 8 followers, 3 workers, 100,000 events, two workers killed."""

import sys

from tests.storm.storm import Size, blow

if __name__ == "__main__":
    size = Size(events=100_000, publishing_processes=4, followers=8, workers=3, kills=2)
    verdict = blow(size)
    for name, value in verdict._asdict().items():
        print(f"{name:>18}  {value:,.1f}" if isinstance(value, float) else f"{name:>18}  {value:,}")
    sys.exit(0 if verdict.good and verdict.killed == size.kills else 1)
