"""A copy of the project, in which Pulumi's command line works on one stack and one simulated cloud.

Everything that the command line writes is in the copy: the state as files, the stack's settings, and its own home.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.infra.mutant_project import copy_project
from tests.infra.simulation.cloud import Cloud
from tests.infra.simulation.packages import attachment, served_packages
from tests.infra.simulation.stack_files import EXAMPLE_SETTINGS

ROOT = Path(__file__).parents[3]
# The command line and the language host, which `make engine` builds.
TOOLS = ROOT / ".venv" / "engine"
PASSPHRASE = "the-passphrase-of-this-state"
# A setting that is a secret, beside those that the program generates.
SUBSCRIPTION_KEY = "the-subscription-key-of-the-platform"
# Ends a command that hangs. The longest takes ten seconds on an idle machine; the rest is for a busy one.
_COMMAND_SECONDS_MAX = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of a command: exit code, output, seconds, and the step of each resource, in order."""

    exit_code: int
    output: str
    seconds: float
    # The steps with which the engine began, and those of them that failed: the operation by URN.
    steps: Mapping[str, str] = field(default_factory=dict)
    failures: frozenset[str] = frozenset()
    # The texts of warnings and errors, and of violations by the name of the policy.
    messages: Sequence[str] = ()
    violations: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def urns(self, *operations: str) -> set[str]:
        """Return the resources with one of these operations, without the providers that the engine adds."""
        return {urn for urn, each in self.steps.items() if each in operations and "::pulumi:providers:" not in urn}

    @property
    def changes(self) -> set[str]:
        """The resources with another operation than "same"."""
        return self.urns(*set(self.steps.values()) - {"same", "refresh"})


class PulumiProject:
    """A stack of the project in a folder, and the cloud that its commands change."""

    def __init__(self, folder: Path, stack: str, cloud: Cloud, *, attach: str) -> None:
        self.folder, self.stack, self.cloud = folder, stack, cloud
        self.seconds = dict[str, float]()
        self._events = folder / "events"
        (folder / "state").mkdir()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "PYTHONPATH"))},
            "PATH": os.pathsep.join([str(TOOLS), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DEBUG_PROVIDERS": attach,
            "PULUMI_DEBUG_COMMANDS": "true",  # the option --event-log
            "PULUMI_ERROR_OUTPUT_STRING": "1",
        }

    @property
    def state_file(self) -> Path:
        """The file of the stack's state."""
        return self.folder / "state" / ".pulumi" / "stacks" / "eventfeed" / f"{self.stack}.json"

    def run(self, *words: str, label: str = "", succeeds: bool = True) -> Result:
        """Run a command on the stack, and keep its time under its label. It must succeed, or fail."""
        self._events.unlink(missing_ok=True)
        start = time.perf_counter()
        process = subprocess.run(
            [str(TOOLS / "pulumi"), *words, "--non-interactive", "--stack", self.stack],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_COMMAND_SECONDS_MAX,
        )
        seconds = self.seconds[label or " ".join(words[:2])] = time.perf_counter() - start
        if succeeds != (process.returncode == 0):
            raise AssertionError(f"pulumi {' '.join(words)} ended with {process.returncode}:\n{process.stdout}")
        events = [json.loads(line) for line in self._events.read_text().splitlines()] if self._events.exists() else []
        return _result(process, seconds, events)

    def operate(self, command: str, *words: str, label: str = "", succeeds: bool = True) -> Result:
        """Run `preview`, `up`, `refresh`, `import` or `destroy` without a second preview, and read its steps."""
        skip = [] if command == "preview" else ["--yes", "--skip-preview"]
        options = [*skip, "--event-log", str(self._events), "--suppress-progress"]
        return self.run(command, *words, *options, label=label or command, succeeds=succeeds)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Set settings of the stack, in its copy of the stack's file."""
        words = [word for key, value in settings.items() for word in ("--plaintext", f"{key}={value}")]
        self.run("config", "set-all", *words)

    def export(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the resources of the state by URN, with their secrets in clear but marked."""
        state = json.loads(self.run("stack", "export", "--show-secrets").output)
        return {each["urn"]: each for each in state["deployment"].get("resources", [])}


@contextmanager
def pulumi_project(folder: Path, stack: str, cloud: Cloud) -> Iterator[PulumiProject]:
    """Copy the project to `folder`, create its stack with the example settings, and serve the cloud."""
    copy_project(folder)
    with served_packages(cloud) as addresses:
        project = PulumiProject(folder, stack, cloud, attach=attachment(addresses))
        project.run("stack", "init", "--secrets-provider", "passphrase")
        project.configure(EXAMPLE_SETTINGS)
        project.run("config", "set", "--secret", "platformSubscriptionKey", SUBSCRIPTION_KEY)
        yield project


def _result(process: subprocess.CompletedProcess[str], seconds: float, events: Sequence[Mapping[str, Any]]) -> Result:
    steps = [each["resourcePreEvent"]["metadata"] for each in events if "resourcePreEvent" in each]
    failures = [each["resOpFailedEvent"]["metadata"] for each in events if "resOpFailedEvent" in each]
    diagnostics = [each["diagnosticEvent"] for each in events if "diagnosticEvent" in each]
    violations = dict[str, list[str]]()
    for each in (event["policyEvent"] for event in events if "policyEvent" in event):
        violations.setdefault(each["policyName"], []).append(each["message"])
    return Result(
        exit_code=process.returncode,
        output=process.stdout,
        seconds=seconds,
        steps={each["urn"]: each["op"] for each in steps},
        failures=frozenset(each["urn"] for each in failures),
        messages=[each["message"] for each in diagnostics if each["severity"] in {"warning", "error"}],
        violations=violations,
    )
