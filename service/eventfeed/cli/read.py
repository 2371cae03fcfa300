"""`eventfeed read`: a feed as one event a line, once or for ever, going on where it stopped."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import click
import httpx
import msgspec

from eventfeed.cli.cursor_file import CursorFile
from eventfeed.cli.forwarding import Forwarder
from eventfeed.cli.options import population_here, settings_here, url_option
from eventfeed.cli.service import (
    DEVELOPMENT_ORGANISATION,
    Identity,
    Problem,
    no_development,
    organisation,
    person,
    tokens_of,
    unreachable,
    url_of,
)
from eventfeed.client import (
    Client,
    CursorExpiredError,
    Feed,
    FeedError,
    RefusedError,
    UnreachableError,
    app_feed,
    instance_feed,
    party_feed,
    reportee_feed,
)
from eventfeed.domain.principal import SCOPE_REPORTEES

# Ended by the person in front of it (128 + SIGINT), as shells expect.
INTERRUPTED = 130


class Source(NamedTuple):
    """Which feed is read, as which development identity when no token is given."""

    feed: Feed
    identity: Identity | None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How a feed is read and where it goes."""

    after: str | None
    size: int | None
    follow: bool
    cursor_file: Path | None
    output: Path | None
    forward_to: str | None
    url: str | None


class Output:
    """Where lines go: a file that can be cut back, or standard output."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: BinaryIO = path.open("ab") if path else sys.stdout.buffer

    @property
    def length(self) -> int:
        """Bytes of the file so far; 0 of a pipe, which cannot be cut back."""
        return self._file.tell() if self._path else 0

    def cut(self, length: int) -> None:
        """Take away what was written after the place that is kept."""
        if self._path:
            if self.length < length:
                raise click.ClickException(f"{self._path} is shorter than its cursor file says: it is another file.")
            self._file.truncate(length)
            self._file.seek(length)

    def write(self, lines: bytes) -> None:
        """Write lines, and be sure that they are there."""
        if not lines:
            return
        self._file.write(lines)
        self._file.flush()
        if self._path:
            os.fsync(self._file.fileno())


def feed_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that every feed has."""
    path = click.Path(dir_okay=False, path_type=Path)
    options = [
        click.option("--from", "since", metavar="T", help="Registered at this time or later (RFC 3339)."),
        click.option("--after", metavar="C", help="After this cursor; default 0, the beginning."),
        click.option("--type", "types", metavar="T", multiple=True, help="Only this type; may be repeated."),
        click.option("--size", type=click.IntRange(1, 1000), metavar="N", help="Events a page."),
        click.option("--follow", is_flag=True, help="Stay on, and go on when something new comes."),
        click.option("--cursor-file", type=path, metavar="F", help="Keep the place here, and go on from it."),
        click.option("--output", type=path, metavar="FILE", help="Write here; with --cursor-file nothing twice."),
        click.option("--forward-to", metavar="URL", help="Post each event there, and go on when it is taken (2xx)."),
        url_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def read() -> None:
    """Read a feed: one event a line, in the order of their sequence."""


@read.command(name="app")
@click.argument("name", metavar="ORG/APP")
@feed_options
def read_app(name: str, since: str | None, *, types: Sequence[str], **options: object) -> None:
    """Read the events of an app."""
    org, slash, app = name.partition("/")
    if not (org and slash and app) or "/" in app:
        raise click.UsageError(f"{name} is no app: write ORG/APP, such as ttd/bolig.")
    identity = organisation(DEVELOPMENT_ORGANISATION, scope=f"altinn:events/{org}/{app}")
    run(Source(app_feed(org, app, types=types, since=since), identity), options)


@read.command(name="party")
@click.argument("party", metavar="ID")
@feed_options
def read_party(party: str, since: str | None, *, types: Sequence[str], **options: object) -> None:
    """Read the events of a party: a person or an organisation, by its party id."""
    if not party.isdecimal():
        raise click.UsageError(f"{party} is no party id: write its digits, such as 50000001.")
    run(Source(party_feed(party=party, types=types, since=since), _identity_of(party)), options)


@read.command(name="instance")
@click.argument("instance", metavar="ID")
@feed_options
def read_instance(instance: str, since: str | None, *, types: Sequence[str], **options: object) -> None:
    """Read what anyone may see of an instance, by its id: {partyId}/{guid} or the guid alone. Needs no token."""
    run(Source(instance_feed(instance, types=types, since=since), None), options)


@read.command(name="reportees")
@feed_options
def read_reportees(since: str | None, *, types: Sequence[str], **options: object) -> None:
    """Read the events of every party, of the types that the organisation is approved for."""
    if not types:
        raise click.UsageError("Name the types with --type: an approval is for types.")
    approved = next(population_here().first_approvals(), None)
    number = approved.organisation if approved else DEVELOPMENT_ORGANISATION
    identity = organisation(number, scope=SCOPE_REPORTEES)
    run(Source(reportee_feed(types, since=since), identity), options)


def _identity_of(party: str) -> Identity:
    """The party itself, as the register's file has it."""
    population = population_here()
    for each in population.people:
        if each.party == party:
            return person(each.number)
    numbers = [each.number for each in population.organisations if each.party == party]
    return organisation(numbers[0] if numbers else DEVELOPMENT_ORGANISATION, scope="altinn:events")


def run(source: Source, options: Mapping[str, object]) -> None:
    """Read a feed to its end, or for ever; an interruption or a reader that has gone ends it quietly."""
    settings, reading = settings_here(), Reading(**options)  # type: ignore[arg-type]  # click converted each
    if reading.forward_to and reading.output:
        raise click.UsageError("Name --output or --forward-to: an event is kept or handed on.")
    url, tokens = url_of(settings, reading.url), tokens_of(settings, source.identity)
    try:
        with Client(url, tokens=tokens) as client:
            _read_all(client, source.feed, reading=reading)
    except UnreachableError as failure:
        raise unreachable(url, failure) from None
    except FeedError as failure:
        raise _told(url, failure) from None
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as failure:
        raise click.ClickException(f"{failure.filename or 'output'}: {failure.strerror}") from None


def _read_all(client: Client, feed: Feed, *, reading: Reading) -> None:
    """Hand on every page, and keep the place when it has been taken."""
    output = Output(reading.output)
    cursor_file = (
        CursorFile(reading.cursor_file, feed=str(feed), output=reading.output) if reading.cursor_file else None
    )
    after = _resumed(cursor_file, output) or reading.after or "0"
    taker = Forwarder(reading.forward_to, for_ever=reading.follow) if reading.forward_to else None
    for page in client.pages(feed, after=after, size=reading.size, follow=reading.follow):
        if taker is None:
            output.write(b"".join(b"%b\n" % event.raw for event in page.events))
        else:
            for event in page.events:
                taker.take(event)
                if cursor_file:
                    cursor_file.save(cursor=event.cursor, output_bytes=0)
        if cursor_file and page.cursor != after:
            cursor_file.save(cursor=page.cursor, output_bytes=output.length)
        after = page.cursor


def _resumed(cursor_file: CursorFile | None, output: Output) -> str:
    """The cursor that is kept, with the output cut back to it; "" at the first start, which is kept as well."""
    if cursor_file is None:
        return ""
    place = cursor_file.load()
    if place is None:
        cursor_file.save(cursor="", output_bytes=output.length)
        return ""
    output.cut(place.output_bytes)
    return place.cursor


def _told(url: str, failure: FeedError) -> click.ClickException:
    """What to tell of a failure that a person must decide on."""
    if isinstance(failure, CursorExpiredError):
        return click.ClickException(
            f"{failure.detail} What lies between is not to be had here; "
            f"recover it from its owner, then go on with --after {failure.oldest_cursor} and a new cursor file.",
        )
    if isinstance(failure, RefusedError):
        if failure.path.startswith("/development/") and failure.status == httpx.codes.NOT_FOUND:
            return no_development(url)
        problem = msgspec.convert({**failure.problem, "detail": failure.detail}, Problem)
        return click.ClickException(f"{url}{failure.path}: {failure.status} {problem}")
    return click.ClickException(str(failure))
