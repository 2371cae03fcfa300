"""The dates on which something that the deployment uses ends, and the command that prints those that are near.

`python infra/check_dates.py` prints a line for each entry of dates.json that ends within 60 days. The exit code is 0
unless the command itself fails. `make calendar` prints all of them. An entry of the kind `review` has no announced
end: on its date somebody looks for one, and sets the next date.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

FILE = Path(__file__).with_name("dates.json")
NOTICE_DAYS = 60
_VERBS = {"announced": "ends on", "review": "is to be reviewed by"}

Entry = Mapping[str, str]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the entries whose date is near, in the order of dates."""
    parser = argparse.ArgumentParser(description="Print what ends within some days.")
    parser.add_argument("--days", type=int, default=NOTICE_DAYS, help="the notice (default: %(default)s)")
    parser.add_argument("--today", type=date.fromisoformat, default=datetime.now(UTC).date(), metavar="YYYY-MM-DD")
    options = parser.parse_args(arguments)
    near = near_entries(json.loads(FILE.read_text()), options.today, days=options.days)
    sys.stdout.writelines(f"{_sentence(entry)}\n" for entry in near)


def near_entries(entries: Sequence[Entry], today: date, *, days: int) -> Sequence[Entry]:
    """Return the entries that end at most `days` after today, or have ended, in the order of dates."""
    near = [entry for entry in entries if (date.fromisoformat(entry["end"]) - today).days <= days]
    return sorted(near, key=lambda entry: entry["end"])


def _sentence(entry: Entry) -> str:
    return f"{entry['subject']} {_VERBS[entry['kind']]} {entry['end']}: {entry['way_out']} ({entry['source']})"


if __name__ == "__main__":
    main()
