"""`eventfeed token`: development identities on the command line."""

import click
import httpx

from eventfeed.cli.options import settings_here, url_option
from eventfeed.cli.service import client_for, maskinporten_token, platform_token, unreachable, url_of


@click.group()
def token() -> None:
    """Print a token of a development identity: of its issuer, or exchanged for the platform's."""


@token.command()
@click.option("--org-number", "organisation", required=True, metavar="N", help="The organisation's number, 9 digits.")
@click.option("--scope", "scopes", required=True, multiple=True, metavar="S", help="A scope; may be repeated.")
@click.option("--exchange", is_flag=True, help="Exchange it for a platform token.")
@url_option
def maskinporten(organisation: str, scopes: tuple[str, ...], *, url: str | None, exchange: bool) -> None:
    """Print a token of the service's own Maskinporten for an organisation. It refuses no scope."""
    where = url_of(settings_here(), url)
    try:
        with client_for(where) as client:
            printed = maskinporten_token(client, where, organisation=organisation, scope=" ".join(scopes))
            if exchange:
                printed = platform_token(client, where, token=printed)
    except httpx.TransportError as failure:
        raise unreachable(where, failure) from None
    click.echo(printed)
