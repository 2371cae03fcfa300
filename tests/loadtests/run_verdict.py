"""A program that ends like a load test in which every goal was measured, and one event happened in addition.

Importing Locust changes the process, so this is a process of its own.
"""

import sys

from loadtests.goals import GOALS
from loadtests.report import verdict
from loadtests.verification import Ledger, Violation
from locust.env import Environment


def main(event: str) -> int:
    """Return the exit code."""
    environment, ledger = Environment(), Ledger()
    runner = environment.create_local_runner()
    for goal in GOALS:
        environment.stats.log_request("GET", goal.name, 1, 100)
    match event:
        case "violation":
            ledger.record_violation(Violation("S1 app", "missed", "7"))
        case "slow response":
            environment.stats.log_request("GET", GOALS[0].name, 10_000, 100)
        case "failed request":
            environment.stats.log_error("GET", "exchange", "500")
        case "failed user":
            runner.log_exception("local", "no such header", "traceback")
        case _:
            assert event == "nothing"
    return verdict(environment, ledger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
