"""`eventfeed publish`: a file of events into the log, in its order, however often it is interrupted.

A line without an id gets one made of the digest of the whole file and its number, so that a repeat adds nothing.
"""

import gzip
import hashlib
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, NamedTuple

import click
import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eventfeed.cli.options import settings_here, url_option
from eventfeed.cli.service import DEVELOPMENT_ORGANISATION, Problem, Service, expected, organisation, problem_of, url_of
from eventfeed.domain.event import EVENT_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_EVENTS_MAX
from eventfeed.domain.principal import SCOPE_PUBLISH_ADMIN

_BATCHED = "application/cloudevents-batch+json"
_EVENTS = "/events/api/v1/events"
_GZIP = b"\x1f\x8b"
# Refused for what they hold: each event can be told from the others.
_REFUSALS = frozenset({400, 403, 409, 413})
# Read at once from a file.
_BLOCK_BYTES = 1 << 20


class Line(NamedTuple):
    """An event to publish, and where it stands."""

    number: int
    text: bytes


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a receipt."""

    duplicate: bool


class Tally:
    """What became of the lines."""

    def __init__(self, console: Console) -> None:
        self.published = self.duplicates = self.refused = 0
        self._console = console

    def accept(self, receipts: Sequence[Receipt]) -> None:
        """Count events that are in the log."""
        duplicates = sum(receipt.duplicate for receipt in receipts)
        self.duplicates += duplicates
        self.published += len(receipts) - duplicates

    def refuse(self, number: int, reason: str) -> None:
        """Count a line that is not in the log, and name it."""
        self.refused += 1
        self._console.print(f"line {number}: {reason}", style="red", markup=False, highlight=False, soft_wrap=True)

    def __str__(self) -> str:
        return f"published {self.published}, duplicates {self.duplicates}, refused {self.refused}"


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, readable=True))
@url_option
def publish(file: str, url: str | None) -> None:
    """Publish FILE (- is standard input): one event a line, plain or gzipped.

    In the order of the file. Repeating it, also after an interruption, adds nothing twice.
    """
    settings = settings_here()
    console = Console(stderr=True)
    tally, started = Tally(console), time.monotonic()
    identity = organisation(DEVELOPMENT_ORGANISATION, scope=SCOPE_PUBLISH_ADMIN)
    service = Service(url_of(settings, url), token=settings.token, identity=identity)
    with closing(service), _opened(file) as content:
        digest, lines = _digest(content)
        content.seek(0)
        try:
            _publish_all(
                service,
                _batches(_events(content, digest, tally=tally)),
                tally=tally,
                progress=_progress(console, lines),
            )
        except click.ClickException as failure:
            raise click.ClickException(
                f"{failure.message}\n{tally} so far. Run the same command again: it goes on where this stopped.",
            ) from None
    click.echo(f"{tally} in {time.monotonic() - started:.1f} s")
    if tally.refused:
        sys.exit(1)


def _publish_all(service: Service, batches: Iterator[Sequence[Line]], *, tally: Tally, progress: Progress) -> None:
    with progress:
        for batch in batches:
            _publish_batch(service, batch, tally=tally)
            progress.update(progress.task_ids[0], completed=batch[-1].number)


def _publish_batch(service: Service, batch: Sequence[Line], *, tally: Tally) -> None:
    """Publish what can be: events that the service names as wrong are left out, and the rest is sent again."""
    while batch:
        answer = service.post(_EVENTS, b"[%b]" % b",".join(line.text for line in batch), media_type=_BATCHED)
        if answer.is_success:
            tally.accept(msgspec.json.decode(answer.content, type=list[Receipt]))
            return
        wrong = _named(problem_of(answer), len(batch))
        if answer.status_code not in _REFUSALS or (answer.status_code == httpx.codes.FORBIDDEN and not wrong):
            expected(answer)
        if not wrong and len(batch) > 1:
            for line in batch:  # the refusal does not say which it is about: a batch of one tells
                _publish_batch(service, [line], tally=tally)
            return
        for place, reason in sorted((wrong or {0: str(problem_of(answer))}).items()):
            tally.refuse(batch[place].number, reason)
        batch = [line for place, line in enumerate(batch) if wrong and place not in wrong]


def _named(problem: Problem, count: int) -> dict[int, str]:
    """The places in a batch that a problem's pointers name, each with what is wrong there."""
    reasons = dict[int, list[str]]()
    for fault in problem.errors:
        place, _, attribute = (fault.pointer or "").removeprefix("/").partition("/")
        if place.isdecimal() and int(place) < count:
            reasons.setdefault(int(place), []).append(f"{attribute} {fault.detail}".strip())
    return {place: "; ".join(each) for place, each in reasons.items()}


def _opened(file: str) -> IO[bytes]:
    """The content, decompressed and seekable. What comes on standard input is kept in a temporary file."""
    if file == "-":
        raw: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
        while block := sys.stdin.buffer.read(_BLOCK_BYTES):
            raw.write(block)
        raw.seek(0)
    else:
        raw = Path(file).open("rb")  # noqa: SIM115  # as above
    zipped = raw.read(len(_GZIP)) == _GZIP
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if zipped else raw  # type: ignore[return-value]  # it reads and seeks like one


def _digest(content: IO[bytes]) -> tuple[str, int]:
    """What stands for the whole content, and how many lines it has."""
    whole, lines = hashlib.sha256(), 0
    try:
        while block := content.read(_BLOCK_BYTES):
            whole.update(block)
            lines += block.count(b"\n")
    except (OSError, EOFError, zlib.error) as failure:
        raise click.ClickException(f"The file cannot be read: {failure}.") from None
    return whole.hexdigest()[:32], lines


def _events(content: IO[bytes], digest: str, *, tally: Tally) -> Iterator[Line]:
    """The lines that can be sent, each with an id; the others are refused here."""
    for number, text in enumerate(content, start=1):
        if not text.strip():
            continue
        try:
            event = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
            tally.refuse(number, f"is no JSON object: {failure}. Correct the line and run the command again.")
            continue
        if bytes(event.get("id", b"null")) == b"null":
            event["id"] = msgspec.Raw(msgspec.json.encode(f"{digest}-{number}"))
        line = Line(number, msgspec.json.encode(event))
        if len(line.text) > EVENT_BYTES_MAX:
            tally.refuse(number, f"is over {EVENT_BYTES_MAX} bytes. Shorten the event.")
            continue
        yield line


def _batches(lines: Iterator[Line]) -> Iterator[Sequence[Line]]:
    """As many lines as one request takes, in order."""
    batch, weight = list[Line](), 2
    for line in lines:
        if batch and (len(batch) == REQUEST_EVENTS_MAX or weight + len(line.text) + 1 > REQUEST_BYTES_MAX):
            yield batch
            batch, weight = [], 2
        batch.append(line)
        weight += len(line.text) + 1
    if batch:
        yield batch


def _progress(console: Console, lines: int) -> Progress:
    progress = Progress(
        TextColumn("publishing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    progress.add_task("publishing", total=lines)
    return progress
