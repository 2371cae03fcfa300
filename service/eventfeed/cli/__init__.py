"""The command line: `eventfeed`."""

import sys
from collections.abc import Sequence

from eventfeed.network import EnvironmentVariableError

# The extra that installs a package; `server` installs all others.
_EXTRAS = {
    "aiohttp": "cosmos",
    "asyncpg": "migrate",
    "azure": "cosmos",
    "chartkick": "devtools",
    "click": "cli",
    "rich": "cli",
}
# After a wrong use, and after an interrupt from the keyboard (128 + SIGINT).
_USAGE_EXIT_CODE, INTERRUPT_EXIT_CODE = 2, 130


def main() -> None:
    """Run the command of the process, and exit with its code."""
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Name a variable that cannot be used, or the extra of a package (2)."""
    try:
        # The first second is spent here: an interrupt must not show where.
        from eventfeed.cli.commands import main as command  # noqa: PLC0415  # packages may be missing
        from eventfeed.cli.program import execute  # noqa: PLC0415  # as above

        return execute(command, arguments)
    except KeyboardInterrupt:
        return INTERRUPT_EXIT_CODE
    except ValueError as fault:
        # OpenTelemetry checks some of its variables when it is imported.
        if not isinstance(fault, EnvironmentVariableError) and not str(fault).startswith("OTEL_"):
            raise
        sys.stderr.write(f"{fault}\n")
        return _USAGE_EXIT_CODE
    except ModuleNotFoundError as failure:
        package = (failure.name or "").partition(".")[0]
        if package in ("", "eventfeed"):
            raise
        extra = _EXTRAS.get(package, "server")
        sys.stderr.write(f"{package} is not installed; this command needs: pip install 'eventfeed[{extra}]'\n")
        return _USAGE_EXIT_CODE
