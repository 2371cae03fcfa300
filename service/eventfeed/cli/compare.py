"""`eventfeed compare`: one feed in two systems, the replaced platform and this service."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import click
import msgspec
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from eventfeed.cli import INTERRUPT_EXIT_CODE
from eventfeed.cli.arguments import Command
from eventfeed.cli.comparison import KINDS, Comparison, Side
from eventfeed.cli.linked_feed import FeedQuery, LinkedClient, TokenFile
from eventfeed.cli.options import TTD, moment, parse_url, plain_errors, plain_failures, settings_here, tokens_here
from eventfeed.cli.terminal import escape_controls
from eventfeed.client import Tokens, development_organisation
from eventfeed.client.tokens import FixedToken
from eventfeed.domain.moment import format_moment

PAGE_SIZE = ("size", "1000")
# The replaced platform hides the events of its last 30 s.
UNTIL_SECONDS = 60
_path = click.Path(path_type=Path, exists=True, dir_okay=False)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """The options that name a feed. Exactly one is set."""

    app: str | None
    party: str | None
    unit: str | None
    resource: str | None

    def query(self) -> FeedQuery:
        """Return the query of the feed, which both systems have. Raises `click.UsageError`."""
        names = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        if len(names) != 1:
            raise click.UsageError("Name one feed: --app, --party, --unit or --resource.")
        ((name, value),) = names.items()
        if name == "app":
            org, slash, app = value.partition("/")
            if not (org and slash and app) or "/" in app:
                raise click.UsageError(f"{value} is not an app: write ORG/APP, such as ttd/bolig.")
            return FeedQuery(f"/events/api/v1/app/{quote(org)}/{quote(app)}", [PAGE_SIZE])
        if name == "resource":
            return FeedQuery("/events/api/v1/events", [(name, value), PAGE_SIZE])
        if not value.isdecimal():
            raise click.UsageError(f"{value} is not a {name}: write its digits.")
        return FeedQuery("/events/api/v1/app/party", [(name, value), PAGE_SIZE])


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The times of events to compare (µs since 1970), and the files of tokens."""

    since: int | None
    until: int | None
    old_token_file: Path | None
    new_token_file: Path | None


@click.command(cls=Command)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--app", metavar="ORG/APP", help="The feed of an app.")
@click.option("--party", metavar="ID", help="The feed of a party, by its id.")
@click.option("--unit", metavar="N", help="The feed of a party, by its organisation number.")
@click.option("--resource", metavar="URN", help="The feed of a resource.")
@click.option("--from", "since", metavar="T", type=moment, help="Only events with this time or a later one (RFC 3339).")
@click.option("--to", "until", metavar="T", type=moment, help="Only events up to this time. Default: a minute ago.")
@click.option("--old-token-file", metavar="F", type=_path, help="The token for OLD. Default: EVENTFEED_OLD_TOKEN.")
@click.option("--new-token-file", metavar="F", type=_path, help="The token for NEW. Default: EVENTFEED_TOKEN.")
def compare(old: str, new: str, **options: object) -> None:
    """Compare a feed in two systems, by their URLs, and print each difference.

    Events may be missing, extra, doubled, different or reordered in NEW.
    """
    names = Selection.__struct_fields__
    selection = Selection(**{name: options.pop(name) for name in names})  # type: ignore[arg-type]  # click converted each
    bounds = Bounds(**options)  # type: ignore[arg-type]  # as above
    query = selection.query()
    for url in (old, new):
        if parse_url(url) is None:
            raise click.UsageError(f"{url} is not the URL of a service; write it as https://platform.altinn.no.")
    try:
        differences = _compare(old.rstrip("/"), new.rstrip("/"), query=query, bounds=bounds)
    except KeyboardInterrupt:
        sys.exit(INTERRUPT_EXIT_CODE)
    if differences:
        sys.exit(1)


def _compare(old: str, new: str, *, query: FeedQuery, bounds: Bounds) -> int:
    """Print the differences and a summary, and return the number of differences."""
    until = bounds.until or int((time.time() - UNTIL_SECONDS) * 1_000_000)
    with ExitStack() as stack:
        stack.enter_context(plain_failures())
        old_client = stack.enter_context(LinkedClient(old, tokens=_old_tokens(bounds.old_token_file)))
        new_client = stack.enter_context(LinkedClient(new, tokens=_new_tokens(bounds.new_token_file, query)))

        def registration(sequence: int) -> str:
            return new_client.registration(query, sequence=sequence)

        comparison = Comparison(since=bounds.since, until=until, registration=registration)
        with _progress() as progress:
            for system in (_System("old", old, old_client), _System("new", new, new_client)):
                for texts in system.pages(query, since=bounds.since):
                    comparison.add(system.side, texts)
                    progress.update(progress.task_ids[0], old=comparison.counts["old"], new=comparison.counts["new"])
        with plain_errors(new):
            return _print_differences(comparison)


class _System(NamedTuple):
    """One of the systems, and its client."""

    side: Side
    url: str
    client: LinkedClient

    def pages(self, query: FeedQuery, *, since: int | None) -> Iterator[Sequence[bytes]]:
        """Yield the pages of the feed. A failure ends the command with a message."""
        with plain_errors(self.url):
            yield from self.client.linked_pages(query, since=None if since is None else format_moment(since))


def _print_differences(comparison: Comparison) -> int:
    """Print a line for each difference, and a summary."""
    kinds = Counter[str]()
    for difference in comparison.differences():
        kinds[difference.kind] += 1
        click.echo(escape_controls(str(difference)))
    counts = ", ".join(f"{kind} {kinds[kind]}" for kind in KINDS)
    click.echo(f"old {comparison.counts['old']} events, new {comparison.counts['new']}: {counts}")
    return kinds.total()


def _old_tokens(file: Path | None) -> Tokens:
    return TokenFile(file) if file else FixedToken(settings_here().old_token)


def _new_tokens(file: Path | None, query: FeedQuery) -> Tokens:
    """Return the token of the file or the settings, else one of the development for the app of the query."""
    app = query.path.removeprefix("/events/api/v1/app/")
    scope = f"altinn:events/{app} altinn:events.subscribe"
    return TokenFile(file) if file else tokens_here(development_organisation(TTD, scope=scope))


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("comparing: old {task.fields[old]}, new {task.fields[new]} events"), TimeElapsedColumn())
    progress = Progress(*columns, console=console, disable=not console.is_terminal)
    progress.add_task("comparing", total=None, old=0, new=0)
    return progress
