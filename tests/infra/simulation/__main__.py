"""The simulation's command line: `python -m tests.infra.simulation preview|up|destroy --stack dev|prod`.

Each command begins with an empty cloud; `destroy` brings the stack up first. `provider` serves the fake Azure alone
and prints its port: an engine attaches to it with PULUMI_DEBUG_PROVIDERS=azure-native:{port}.
"""

import argparse
import time
from collections.abc import Sequence

from tests.infra.simulation.azure import Azure
from tests.infra.simulation.cloud import Cloud
from tests.infra.simulation.provider import provided
from tests.infra.simulation.simulation import Simulation
from tests.infra.simulation.stack_files import EXAMPLE
from tests.infra.simulation.state import Step


def main() -> None:
    """Do what the command line asks, and print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.infra.simulation", description=__doc__)
    parser.add_argument("command", choices=["preview", "up", "destroy", "provider"])
    parser.add_argument("--stack", default="dev", choices=["dev", "prod"])
    parser.add_argument("--config", action="append", default=[], metavar="KEY=VALUE", help="a setting of the stack")
    given = parser.parse_args()
    if given.command == "provider":
        _serve()
        return
    config = {**EXAMPLE, **dict(each.split("=", 1) for each in given.config)}
    print(f"A simulation of {given.command} in memory, not Pulumi's own engine and not Azure.")
    print(*_steps(given.command, given.stack, config), sep="\n")


def _steps(command: str, stack: str, config: dict[str, str]) -> Sequence[Step]:
    with Simulation(stack) as simulation:
        if command == "preview":
            return simulation.preview(config).steps
        made = simulation.up(config)
        if command == "up":
            return made.steps
        simulation.unprotect()
        return simulation.destroy().steps


def _serve() -> None:
    with provided(Azure(Cloud())) as address:
        print(address.rpartition(":")[2], flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
