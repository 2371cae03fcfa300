"""`eventfeed read`: a feed as one event a line, once or for ever, going on where it stopped."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote

import click
import httpx
import msgspec

from eventfeed.cli.cursor_file import CursorFile
from eventfeed.cli.options import population_here, settings_here, url_option
from eventfeed.cli.service import (
    DEVELOPMENT_ORGANISATION,
    Identity,
    Service,
    organisation,
    person,
    problem_of,
    refused,
    url_of,
)
from eventfeed.domain.principal import SCOPE_REPORTEES

# While caught up, one question a second.
POLL_SECONDS = 1.0
# Ended by the person in front of it (128 + SIGINT), as shells expect.
INTERRUPTED = 130


class Feed(NamedTuple):
    """Which feed is read, with which filters, as which development identity when no token is given.

    `posted`: filters travel in a body.
    """

    path: str
    filters: Sequence[tuple[str, str]]
    identity: Identity | None
    posted: bool = False

    def __str__(self) -> str:
        return f"{self.path} {' '.join(f'{name}={value}' for name, value in self.filters)}".strip()

    def page(self, service: Service, place: Sequence[tuple[str, str]], *, for_ever: bool) -> httpx.Response:
        """The page at a place: `after`, and perhaps `size`."""
        if not self.posted:
            return service.get(self.path, [*place, *self.filters], for_ever=for_ever)
        body: dict[str, list[str]] = {}
        for name, value in self.filters:
            body.setdefault(name, []).append(value)
        content = msgspec.json.encode({name: each if name == "eventType" else each[0] for name, each in body.items()})
        return service.post(self.path, content, media_type="application/json", params=place, for_ever=for_ever)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How a feed is read and where it goes."""

    after: str | None
    size: int | None
    follow: bool
    cursor_file: Path | None
    output: Path | None
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
    path = f"/events/api/v1/app/{quote(org, safe='')}/{quote(app, safe='')}"
    identity = organisation(DEVELOPMENT_ORGANISATION, scope=f"altinn:events/{org}/{app}")
    run(Feed(path, _filters(since, types), identity), options)


@read.command(name="party")
@click.argument("party", metavar="ID")
@feed_options
def read_party(party: str, since: str | None, *, types: Sequence[str], **options: object) -> None:
    """Read the events of a party: a person or an organisation, by its party id."""
    if not party.isdecimal():
        raise click.UsageError(f"{party} is no party id: write its digits, such as 50000001.")
    filters = [("party", party), *_filters(since, types)]
    run(Feed("/events/api/v1/party", filters, _identity_of(party), posted=True), options)


@read.command(name="instance")
@click.argument("instance", metavar="ID")
@feed_options
def read_instance(instance: str, since: str | None, *, types: Sequence[str], **options: object) -> None:
    """Read what anyone may see of an instance, by its id: {partyId}/{guid} or the guid alone. Needs no token."""
    path = f"/events/instanceeventsforinstance/{quote(instance.strip('/'))}"
    run(Feed(path, _filters(since, types), None, posted=True), options)


@read.command(name="reportees")
@feed_options
def read_reportees(since: str | None, *, types: Sequence[str], **options: object) -> None:
    """Read the events of every party, of the types that the organisation is approved for."""
    if not types:
        raise click.UsageError("Name the types with --type: an approval is for types.")
    approved = next(population_here().first_approvals(), None)
    number = approved.organisation if approved else DEVELOPMENT_ORGANISATION
    identity = organisation(number, scope=SCOPE_REPORTEES)
    run(Feed("/events/api/v1/reportees", _filters(since, types), identity), options)


def _filters(since: str | None, types: Sequence[str]) -> Sequence[tuple[str, str]]:
    return [*([("from", since)] if since else []), *(("eventType", each) for each in types)]


def _identity_of(party: str) -> Identity:
    """The party itself, as the register's file has it."""
    population = population_here()
    for each in population.people:
        if each.party == party:
            return person(each.number)
    numbers = [each.number for each in population.organisations if each.party == party]
    return organisation(numbers[0] if numbers else DEVELOPMENT_ORGANISATION, scope="altinn:events")


def run(feed: Feed, options: Mapping[str, object]) -> None:
    """Read a feed to its end, or for ever; an interruption or a reader that has gone ends it quietly."""
    settings, reading = settings_here(), Reading(**options)  # type: ignore[arg-type]  # click converted each
    token = settings.token if feed.identity else ""
    try:
        with closing(Service(url_of(settings, reading.url), token=token, identity=feed.identity)) as service:
            _read_all(service, feed, reading=reading)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as failure:
        raise click.ClickException(f"{failure.filename or 'output'}: {failure.strerror}") from None


def _read_all(service: Service, feed: Feed, *, reading: Reading) -> None:
    output, cursor_file = Output(reading.output), None
    if reading.cursor_file:
        cursor_file = CursorFile(reading.cursor_file, feed=str(feed), output=reading.output)
    cursor = _resumed(cursor_file, output) or reading.after or "0"
    size = [("size", str(reading.size))] if reading.size else []
    more = True
    while more or reading.follow:
        if not more:
            time.sleep(POLL_SECONDS)
        answer = feed.page(service, [("after", cursor), *size], for_ever=reading.follow)
        if not answer.is_success:
            _tell(answer)
        lines = b"".join(
            b"%b\n" % bytes(event) for event in msgspec.json.decode(answer.content, type=list[msgspec.Raw])
        )
        if lines:
            output.write(lines)
        if cursor_file and cursor != answer.headers["feed-cursor"]:
            cursor_file.save(cursor=answer.headers["feed-cursor"], output_bytes=output.length)
        cursor, more = answer.headers["feed-cursor"], answer.headers["feed-more"] == "true"


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


def _tell(answer: httpx.Response) -> None:
    problem = problem_of(answer)
    if problem.oldest_cursor:
        raise click.ClickException(
            f"{problem.detail} What lies between is not to be had here; "
            f"recover it from its owner, then go on with --after {problem.oldest_cursor} and a new cursor file.",
        )
    refused(answer)
