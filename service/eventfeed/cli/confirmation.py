"""Confirmation of commands that destroy or end something: `--yes`, or a yes at a terminal."""

import sys

import click

yes_option = click.option("--yes", is_flag=True, help="Do it without a question.")


def require_confirmation(consequence: str, *, yes: bool) -> None:
    """Print the consequence of a command, and end the command (exit code 1, without a terminal 2) unless confirmed."""
    click.echo(consequence, err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nothing was changed. Add --yes to do this without a question.")
    if not click.confirm("Do this?", err=True):
        raise click.ClickException("Nothing was changed.")
