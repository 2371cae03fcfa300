"""Progress of a long command: a bar at a terminal, the time of each step, and the message of an interrupt."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eventfeed.cli import INTERRUPT_EXIT_CODE


def show_progress(name: str, *, total: int) -> Progress:
    """Return a bar of one task, on standard error if that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, disable=not console.is_terminal)
    progress.add_task(name, total=total)
    return progress


@contextmanager
def print_time(step: str) -> Iterator[None]:
    """Print the time of a step after it."""
    start = time.monotonic()
    yield
    click.echo(f"{step} in {time.monotonic() - start:.1f} s")


@contextmanager
def plain_interrupt(advice: str) -> Iterator[None]:
    """Turn an interrupt of the command into one message, with advice."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. {advice}", err=True)
        sys.exit(INTERRUPT_EXIT_CODE)
