"""Commands whose options and arguments are never empty: an unset variable of a shell is no value."""

from typing import Any

import click


class Command(click.Command):
    """A command that refuses an empty value (exit code 2)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`."""
        values, _, parameters = self.make_parser(ctx).parse_args([*args])
        for parameter in parameters:
            if not ctx.resilient_parsing and _is_empty(values.get(parameter.name or "")):
                name = parameter.get_error_hint(ctx)
                raise click.UsageError(f"The value of {name} is empty. Is a variable of the shell unset?", ctx)
        return super().parse_args(ctx, args)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type


def _is_empty(value: Any) -> bool:
    """True if a value of the command line, or one of several, has no character but spaces."""
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, list | tuple) and any(map(_is_empty, value))
