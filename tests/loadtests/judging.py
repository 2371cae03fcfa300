"""A program that ends as a run would in which everything was asked for once, and one thing happened besides.

Locust changes how a process works as soon as it is imported: so this is a process of its own.
"""

import sys

from loadtests.goals import GOALS
from loadtests.report import judged
from loadtests.verifying import Ledger, Violation
from locust.env import Environment


def main(happened: str) -> int:
    """The exit code."""
    environment, ledger = Environment(), Ledger()
    runner = environment.create_local_runner()
    for goal in GOALS:
        environment.stats.log_request("GET", goal.name, 1, 100)
    match happened:
        case "violation":
            ledger.violated(Violation("S1 app", "missed", "7"))
        case "slow answer":
            environment.stats.log_request("GET", GOALS[0].name, 10_000, 100)
        case "failed request":
            environment.stats.log_error("GET", "exchange", "500")
        case "failed person":
            runner.log_exception("local", "no such header", "traceback")
        case _:
            assert happened == "nothing"
    return judged(environment, ledger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
