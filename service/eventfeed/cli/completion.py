"""`eventfeed completion`: a script that completes commands and options in a shell."""

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from eventfeed.cli.arguments import Command

SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
# The name of the program, and of the variable in which a shell asks it for completions, as click forms it.
_PROGRAM, _VARIABLE = "eventfeed", "_EVENTFEED_COMPLETE"


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands and options in SHELL.

    bash and zsh read it with `source <(eventfeed completion bash)`, fish with `eventfeed completion fish | source`.
    """
    click.echo(SHELLS[shell](context.find_root().command, {}, _PROGRAM, _VARIABLE).source())
