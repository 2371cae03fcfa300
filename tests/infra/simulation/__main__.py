"""The simulation's command line: `python -m tests.infra.simulation preview|up|destroy --stack dev|prod`.

Each command starts with an empty cloud; `destroy` runs `up` first. `provider` serves the simulated providers of
azure-native, tls and random on one cloud, and prints the value of PULUMI_DEBUG_PROVIDERS by which Pulumi's command
line attaches to them.
"""

import argparse
import threading
from collections.abc import Sequence

from tests.infra.simulation.cloud import Cloud
from tests.infra.simulation.packages import attachment, served_packages
from tests.infra.simulation.simulation import Simulation
from tests.infra.simulation.stack_files import EXAMPLE_SETTINGS
from tests.infra.simulation.state import Step


def main() -> None:
    """Run the command and print its steps."""
    parser = argparse.ArgumentParser(prog="python -m tests.infra.simulation", description=__doc__)
    parser.add_argument("command", choices=["preview", "up", "destroy", "provider"])
    parser.add_argument("--stack", default="dev", choices=["dev", "prod"])
    parser.add_argument("--config", action="append", default=[], metavar="KEY=VALUE", help="a setting of the stack")
    arguments = parser.parse_args()
    if arguments.command == "provider":
        _serve_providers()
        return
    config = {**EXAMPLE_SETTINGS, **dict(pair.split("=", 1) for pair in arguments.config)}
    print(f"A simulation of {arguments.command} in memory, not Pulumi's own engine and not Azure.")
    print(*_steps(arguments.command, arguments.stack, config), sep="\n")


def _steps(command: str, stack: str, config: dict[str, str]) -> Sequence[Step]:
    with Simulation(stack) as simulation:
        if command == "preview":
            return simulation.preview(config).steps
        up = simulation.up(config)
        if command == "up":
            return up.steps
        simulation.unprotect()
        return simulation.destroy().steps


def _serve_providers() -> None:
    with served_packages(Cloud()) as addresses:
        print(attachment(addresses), flush=True)
        threading.Event().wait()  # until a signal ends the process


if __name__ == "__main__":
    main()
