"""`eventfeed publish`: a file of events, in its order. It can be interrupted and repeated.

A line without an id gets one from the digest of the whole file and the line number, so a repeat adds nothing.
"""

import codecs
import hashlib
import sys
import time
import zlib
from collections import deque
from collections.abc import Iterator
from typing import IO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eventfeed.cli import INTERRUPT_EXIT_CODE
from eventfeed.cli.arguments import Command
from eventfeed.cli.input_file import open_content
from eventfeed.cli.options import TTD, plain_errors, service_url, tokens_here, url_option
from eventfeed.cli.terminal import escape_controls
from eventfeed.client import Batch, Publisher, development_organisation
from eventfeed.domain.principal import SCOPE_PUBLISH_ADMIN

_BLOCK_BYTES = 1 << 20
# A longer line is no event, and a small gzip file may have a very long one.
LINE_BYTES_MAX = 1024 * 1024


class Lines:
    """The lines of a file that contain an event. Keeps the numbers of those that have no result yet."""

    def __init__(self, content: IO[bytes], digest: str) -> None:
        self._content, self._digest, self._numbers = content, digest, deque[int]()

    def __iter__(self) -> Iterator[bytes]:
        number = 0
        while line := self._content.readline(LINE_BYTES_MAX + 1):
            number += 1
            end = line
            while len(end) > LINE_BYTES_MAX and not end.endswith(b"\n"):  # the rest of a line that is too long
                end = self._content.readline(LINE_BYTES_MAX + 1)
            if (text := line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).strip():
                self._numbers.append(number)
                yield text

    def new_id(self, _: int) -> str:
        """Return the id for the newest line."""
        return f"{self._digest}-{self._numbers[-1]}"

    def numbers(self, batch: Batch) -> list[int]:
        """Remove and return the line numbers of the next batch."""
        return [self._numbers.popleft() for _ in batch.positions]


class Tally:
    """The number of lines by result."""

    receipts = duplicates = rejections = 0

    def __str__(self) -> str:
        return f"published {self.receipts - self.duplicates}, duplicates {self.duplicates}, refused {self.rejections}"

    def add(self, batch: Batch) -> None:
        """Count a batch."""
        self.receipts += len(batch.receipts)
        self.duplicates += sum(receipt.duplicate for receipt in batch.receipts)
        self.rejections += len(batch.rejections)


@click.command(cls=Command)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, readable=True))
@url_option
def publish(file: str, url: str | None) -> None:
    """Publish FILE (- is standard input): one event a line, plain or gzipped.

    In the order of the file. A repeat, also after an interruption, adds nothing twice.
    """
    start, tally = time.monotonic(), Tally()
    again = "so far. Run the same command again: it continues where it stopped."
    try:
        _publish_file(file, service_url(url), tally=tally)
    except click.UsageError:
        raise
    except click.ClickException as failure:
        raise click.ClickException(f"{failure.message}\n{tally} {again}") from None
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted: {tally} {again}", err=True)
        sys.exit(INTERRUPT_EXIT_CODE)
    click.echo(f"{tally} in {time.monotonic() - start:.1f} s")
    if tally.rejections:
        sys.exit(1)


def _publish_file(file: str, service: str, *, tally: Tally) -> None:
    tokens = tokens_here(development_organisation(TTD, scope=SCOPE_PUBLISH_ADMIN))
    with Publisher(service, tokens=tokens) as publisher, open_content(file) as content:
        digest, count = _digest(content)
        content.seek(0)
        with plain_errors(service), _progress(count) as progress:
            _publish(publisher, Lines(content, digest), tally=tally, progress=progress)


def _publish(publisher: Publisher, lines: Lines, *, tally: Tally, progress: Progress) -> None:
    for batch in publisher.batches(lines, new_id=lines.new_id):
        tally.add(batch)
        numbers = lines.numbers(batch)
        for rejection in batch.rejections:
            reasons = escape_controls(str(rejection))
            line = f"line {numbers[rejection.position - batch.positions.start]}: {reasons}"
            progress.console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
        progress.update(progress.task_ids[0], completed=numbers[-1])


def _digest(content: IO[bytes]) -> tuple[str, int]:
    """Return a digest of the content, and the number of its lines."""
    digest, lines = hashlib.sha256(), 0
    try:
        while block := content.read(_BLOCK_BYTES):
            digest.update(block)
            lines += block.count(b"\n")
    except (OSError, EOFError, zlib.error) as failure:
        raise click.ClickException(f"The file cannot be read: {failure}.") from None
    return digest.hexdigest()[:32], lines


def _progress(lines: int) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("publishing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, disable=not console.is_terminal)
    progress.add_task("publishing", total=lines)
    return progress
