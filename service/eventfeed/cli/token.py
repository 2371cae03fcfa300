"""`eventfeed token`: development identities on the command line."""

import click
import httpx

from eventfeed.cli.options import population_here, settings_here, url_option
from eventfeed.cli.service import (
    Identity,
    client_for,
    external_token,
    organisation,
    person,
    platform_token,
    unreachable,
    url_of,
)

exchange_option = click.option("--exchange", is_flag=True, help="Exchange it for a platform token.")


@click.group()
def token() -> None:
    """Print a token of a development identity: of its issuer, or exchanged for the platform's."""


@token.command()
@click.option("--org-number", "number", required=True, metavar="N", help="The organisation's number, 9 digits.")
@click.option("--scope", "scopes", required=True, multiple=True, metavar="S", help="A scope; may be repeated.")
@exchange_option
@url_option
def maskinporten(number: str, scopes: tuple[str, ...], *, url: str | None, exchange: bool) -> None:
    """Print a token of the service's own Maskinporten for an organisation. It refuses no scope."""
    _print(organisation(number, scope=" ".join(scopes)), url=url, exchange=exchange)


@token.command(name="id-porten")
@click.option("--person", "named", required=True, metavar="P", help="The person's number or name in the register.")
@click.option("--level", default="high", metavar="L", help="How surely known: low, substantial or high (default).")
@exchange_option
@url_option
def id_porten(named: str, level: str, *, url: str | None, exchange: bool) -> None:
    """Print a token of the service's own ID-porten for a person."""
    # A name keeps the number out of the shell's history.
    numbers = [each.number for each in population_here().people if each.name.casefold() == named.casefold()]
    _print(person(numbers[0] if numbers else named, level=level), url=url, exchange=exchange)


def _print(identity: Identity, *, url: str | None, exchange: bool) -> None:
    where = url_of(settings_here(), url)
    printed = platform_token if exchange else external_token
    try:
        with client_for(where) as client:
            click.echo(printed(client, where, identity=identity))
    except httpx.TransportError as failure:
        raise unreachable(where, failure) from None
