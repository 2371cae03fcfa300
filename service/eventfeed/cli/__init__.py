"""The command line: `eventfeed`."""

import sys

# The extra that installs a package; `server` installs all others.
_EXTRAS = {"aiohttp": "cosmos", "azure": "cosmos", "chartkick": "devtools", "click": "cli", "rich": "cli"}


def main() -> None:
    """Run a command. If a package is missing, name the extra that installs it (exit code 2)."""
    try:
        from eventfeed.cli.commands import main as run  # noqa: PLC0415  # it may be missing

        run()
    except ModuleNotFoundError as failure:
        package = (failure.name or "").partition(".")[0]
        if package in ("", "eventfeed"):
            raise
        extra = _EXTRAS.get(package, "server")
        sys.stderr.write(f"{package} is not installed; this command needs: pip install 'eventfeed[{extra}]'\n")
        sys.exit(2)
