"""`eventfeed token`: tokens of development identities."""

import click

from eventfeed.cli.arguments import Group
from eventfeed.cli.options import plain_errors, population_here, service_url, url_option
from eventfeed.client import Client
from eventfeed.client.tokens import IssuerTokens, TokenExchange

exchange_option = click.option("--exchange", is_flag=True, help="Exchange it for a platform token.")


@click.group(cls=Group)
def token() -> None:
    """Print a token of a development identity: from its issuer, or exchanged for a platform token."""


@token.command()
@click.option("--org-number", "number", required=True, metavar="N", help="The organisation's number, 9 digits.")
@click.option("--scope", "scopes", required=True, multiple=True, metavar="S", help="A scope; may be repeated.")
@click.option("--system-user", metavar="UUID", help="A system user, for which the organisation is the vendor.")
@click.option("--system-user-org", metavar="N", help="The number of the organisation that the system user belongs to.")
@exchange_option
@url_option
def maskinporten(
    number: str, scopes: tuple[str, ...], *, url: str | None, exchange: bool, **system_user: str | None
) -> None:
    """Print a token for an organisation, from the service's own Maskinporten. It grants every scope.

    With --system-user and --system-user-org it is a token for a system user of that vendor.
    """
    if len({value is None for value in system_user.values()}) > 1:
        raise click.UsageError("--system-user and --system-user-org belong together: set both.")
    form = {"org_number": number, "scope": " ".join(scopes)}
    form |= {name: value for name, value in system_user.items() if value is not None}
    _print(IssuerTokens("maskinporten", form), url=url, exchange=exchange)


@token.command(name="id-porten")
@click.option("--person", required=True, metavar="P", help="The person's number or name in the register.")
@click.option("--level", default="high", metavar="L", help="Level of assurance: low, substantial or high (default).")
@exchange_option
@url_option
def id_porten(person: str, level: str, *, url: str | None, exchange: bool) -> None:
    """Print a token for a person, from the service's own ID-porten."""
    # A name keeps the number out of the shell's history.
    numbers = [each.number for each in population_here().people if each.name.casefold() == person.casefold()]
    form = {"person": numbers[0] if numbers else person, "level": level}
    _print(IssuerTokens("id-porten", form), url=url, exchange=exchange)


def _print(issuer: IssuerTokens, *, url: str | None, exchange: bool) -> None:
    service = service_url(url)
    tokens = TokenExchange(issuer.provider, issuer.token) if exchange else issuer
    with plain_errors(service), Client(service, tokens=tokens) as client:
        click.echo(client.token())
