"""What several commands share: settings, and where the service is."""

from pathlib import Path

import click

from eventfeed.access.local import Population, population_file
from eventfeed.settings import Settings, SettingsError, from_environment

url_option = click.option(
    "--url", metavar="U", help="The service; default EVENTFEED_PUBLIC_URL, else where it would listen."
)


def settings_here(*, host: str | None = None, port: int | None = None) -> Settings:
    """The settings of the environment, a command's options before them; wrong ones end it with exit code 2."""
    try:
        return from_environment(host=host, port=port)
    except SettingsError as fault:
        raise click.UsageError(str(fault)) from None


def stored_here() -> Settings:
    """The settings, of a store that is there: a command that looks after a store does not make an empty one."""
    settings = settings_here()
    if settings.cosmos is None and not settings.sqlite_path.exists():
        raise click.UsageError(
            f"There is no store at {settings.sqlite_path}: run this where the service runs, or set EVENTFEED_STORE."
        )
    return settings


def population_here() -> Population:
    """Who development identities may stand for: the register's file, or what comes with the service."""
    try:
        settings = settings_here()
        return population_file(Path(settings.register) if settings.register else None).value
    except SettingsError as fault:
        raise click.UsageError(str(fault)) from None
