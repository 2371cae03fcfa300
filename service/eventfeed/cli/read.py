"""`eventfeed read`: a feed as one event a line, once or without an end. It resumes from a cursor file."""

import contextlib
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from eventfeed.cli import INTERRUPT_EXIT_CODE
from eventfeed.cli.arguments import Group
from eventfeed.cli.cursor_file import CursorFile
from eventfeed.cli.forwarding import Forwarder
from eventfeed.cli.options import TTD, plain_errors, population_here, service_url, tokens_here, url_option
from eventfeed.cli.pipe import watched_output
from eventfeed.cli.terminal import escape_controls
from eventfeed.client import Client, Event, Tokens, development_organisation, development_person, feeds
from eventfeed.domain.principal import SCOPE_REPORTEES

_INSTANCE = re.compile(r"([0-9]{1,18}/)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The options that every feed has, but for its filters."""

    after: str | None
    size: int | None
    follow: bool
    cursor_file: Path | None
    output: Path | None
    forward_to: str | None
    forward_authorization: Path | None
    url: str | None


class Output:
    """The target of lines: a file that can be truncated, or standard output."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: BinaryIO = _open(path) if path else sys.stdout.buffer
        self._is_terminal = path is None and sys.stdout.isatty()

    @property
    def length(self) -> int:
        """The length of the file in bytes; 0 for a pipe, which cannot be truncated."""
        return self._file.tell() if self._path else 0

    def truncate(self, length: int) -> None:
        """Remove the lines after this length, which the cursor file does not cover."""
        if self._path:
            if self.length < length:
                raise click.ClickException(f"{self._path} is shorter than its cursor file says: it is another file.")
            self._file.truncate(length)
            self._file.seek(length)

    def write(self, events: Sequence[Event]) -> None:
        """Write events to the disk, the pipe or the terminal, one a line."""
        if not events:
            return
        lines = b"".join(b"%b\n" % event.raw for event in events)
        try:
            self._file.write(escape_controls(lines.decode(), keep="\n").encode() if self._is_terminal else lines)
            self._file.flush()
            if self._path:
                os.fsync(self._file.fileno())
        except OSError as failure:
            raise OSError(failure.errno, failure.strerror, str(self._path or "standard output")) from None


def _open(path: Path) -> BinaryIO:
    """Open a file to append to it. A pipe or a device cannot be truncated, and may not open."""
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666), "ab")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise click.UsageError(f"--output {path} is not a regular file; redirect standard output to it.")
    return file


def feed_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every feed has."""
    path = click.Path(dir_okay=False, path_type=Path)
    options = [
        click.option("--from", "since", metavar="T", help="Only events registered at this time or later (RFC 3339)."),
        click.option("--after", metavar="C", help="Only events after this cursor. Default: 0, the beginning."),
        click.option("--type", "types", metavar="T", multiple=True, help="Only events of this type; may be repeated."),
        click.option("--size", type=click.IntRange(1, 1000), metavar="N", help="Events a page."),
        click.option("--follow", is_flag=True, help="Wait for new events, without an end."),
        click.option(
            "--cursor-file", type=path, metavar="F", help="Store the cursor of what was written here; resume from it."
        ),
        click.option(
            "--output", type=path, metavar="FILE", help="Write to this file; with --cursor-file no event twice."
        ),
        click.option("--forward-to", metavar="URL", help="Post each event to this URL until the response is 2xx."),
        click.option(
            "--forward-authorization", type=path, metavar="FILE", help="Send its content in the header Authorization."
        ),
        url_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(cls=Group)
def read() -> None:
    """Read a feed: one event a line, in the order of the sequence."""


@read.command(name="app")
@click.argument("name", metavar="ORG/APP")
@feed_options
def read_app(name: str, since: str | None, *, types: Sequence[str], **options: object) -> None:
    """Read the events of an app."""
    org, slash, app = name.partition("/")
    if not (org and slash and app) or "/" in app:
        raise click.UsageError(f"{name} is not an app: write ORG/APP, such as ttd/bolig.")
    tokens = development_organisation(TTD, scope=f"altinn:events/{org}/{app}")
    run(feeds.app_feed(org, app, types=types, since=since), tokens, options=options)


@read.command(name="party")
@click.argument("party", metavar="ID")
@click.option("--include-subunits", is_flag=True, help="Also the events of the sub-units of the organisation.")
@feed_options
def read_party(
    party: str, since: str | None, *, include_subunits: bool, types: Sequence[str], **options: object
) -> None:
    """Read the events of a party: a person or an organisation, by its party id."""
    if not party.isdecimal():
        raise click.UsageError(f"{party} is not a party id: write its digits, such as 50000001.")
    feed = feeds.party_feed(party=party, types=types, include_subunits=include_subunits, since=since)
    run(feed, _tokens_of_party(party), options=options)


@read.command(name="instance")
@click.argument("instance", metavar="ID")
@feed_options
def read_instance(instance: str, since: str | None, *, types: Sequence[str], **options: object) -> None:
    """Read the public events of an instance, by its id: {partyId}/{guid} or the guid alone. It needs no token."""
    if not _INSTANCE.fullmatch(instance.strip("/")):
        raise click.UsageError(f"{instance} is not an instance: write {{partyId}}/{{guid}}, or the guid alone.")
    run(feeds.instance_feed(instance, types=types, since=since), None, options=options)


@read.command(name="reportees")
@feed_options
def read_reportees(since: str | None, *, types: Sequence[str], **options: object) -> None:
    """Read the events of all parties, of the types that the organisation is approved for."""
    if not types:
        raise click.UsageError("Name the types with --type: an approval is for types.")
    approval = next(population_here().first_approvals(), None)
    number = approval.organisation if approval else TTD
    tokens = development_organisation(number, scope=SCOPE_REPORTEES)
    run(feeds.reportee_feed(types, since=since), tokens, options=options)


def _tokens_of_party(party: str) -> Tokens:
    """Return tokens of the party itself, by the register file."""
    population = population_here()
    for each in population.people:
        if each.party == party:
            return development_person(each.number)
    numbers = [each.number for each in population.organisations if each.party == party]
    return development_organisation(numbers[0] if numbers else TTD, scope="altinn:events")


def run(feed: feeds.Feed, tokens: Tokens | None, *, options: Mapping[str, object]) -> None:
    """Read a feed to its end, or without an end. An interrupt or a closed pipe ends the command without a message."""
    reading = Reading(**options)  # type: ignore[arg-type]  # click converted each
    if reading.forward_to and reading.output:
        raise click.UsageError("Name either --output or --forward-to.")
    if reading.forward_authorization and not reading.forward_to:
        raise click.UsageError("--forward-authorization needs --forward-to.")
    url = service_url(reading.url)
    watch = contextlib.nullcontext() if reading.output or reading.forward_to else watched_output()
    try:
        with plain_errors(url), Client(url, tokens=tokens and tokens_here(tokens)) as client, watch:
            _read_all(client, feed, reading=reading)
    except KeyboardInterrupt:
        sys.exit(INTERRUPT_EXIT_CODE)


def _read_all(client: Client, feed: feeds.Feed, *, reading: Reading) -> None:
    """Write or forward every page, then store its cursor."""
    forwarder = _forwarder(reading)
    path = reading.cursor_file
    cursor_file = CursorFile(path, feed=str(feed), output=reading.output) if path else None
    with cursor_file.locked() if cursor_file else contextlib.nullcontext():
        output = Output(reading.output)
        after = _resume(cursor_file, output) or reading.after or "0"
        for page in client.pages(feed, after=after, size=reading.size, follow=reading.follow):
            if forwarder is None:
                output.write(page.events)
            else:
                _forward(forwarder, page.events, cursor_file=cursor_file)
            if cursor_file and page.cursor != after:
                cursor_file.save(cursor=page.cursor, output_bytes=output.length)
            after = page.cursor


def _forwarder(reading: Reading) -> Forwarder | None:
    if not reading.forward_to:
        return None
    return Forwarder(reading.forward_to, authorization=reading.forward_authorization, without_limit=reading.follow)


def _forward(forwarder: Forwarder, events: Sequence[Event], *, cursor_file: CursorFile | None) -> None:
    """Forward events one by one, and store the cursor of each."""
    for event in events:
        forwarder.forward(event)
        if cursor_file:
            cursor_file.save(cursor=event.cursor, output_bytes=0)


def _resume(cursor_file: CursorFile | None, output: Output) -> str:
    """Return the stored cursor and truncate the output to it; "" and a new cursor file at the first start."""
    if cursor_file is None:
        return ""
    position = cursor_file.load()
    if position is None:
        cursor_file.save(cursor="", output_bytes=output.length)
        return ""
    output.truncate(position.output_bytes)
    return position.cursor
