"""The border of the command line: each failure of a command becomes one message and an exit code."""

import sys
from collections.abc import Sequence
from typing import IO, Any, cast

import click

from eventfeed.cli import INTERRUPT_EXIT_CODE
from eventfeed.cli.pipe import discard_output
from eventfeed.cli.terminal import escape_controls

FAILURE_EXIT_CODE = 1


def execute(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Run a command with these arguments, by default those of the process, and return its exit code."""
    if sys.stdout is None:  # closed before the start
        click.echo("Error: Standard output is closed.", err=True)
        return FAILURE_EXIT_CODE
    try:
        code = _execute(command, arguments)
        if code == 0:
            sys.stdout.flush()
    except BrokenPipeError:
        code = FAILURE_EXIT_CODE
    except OSError as failure:
        message = f"Error: {failure.filename or 'standard output'}: {failure.strerror or failure}."
        click.echo(escape_controls(message), err=True)
        code = FAILURE_EXIT_CODE
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()
    return code


def _execute(command: click.Command, arguments: Sequence[str] | None) -> int:
    try:
        return int(command.main(arguments, prog_name="eventfeed", standalone_mode=False) or 0)
    except SystemExit as end:  # of click for a closed pipe, and of commands with other codes
        return int(end.code or 0)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPT_EXIT_CODE
    except click.ClickException as failure:
        failure.show(cast("IO[Any]", _Escaped(sys.stderr)))
        return failure.exit_code


class _Escaped:
    """A stream that gets text without control characters: messages contain texts of servers and files."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(escape_controls(text, keep="\n"))

    def flush(self) -> None:
        self._stream.flush()
