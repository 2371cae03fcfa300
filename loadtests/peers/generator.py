"""The load generator, as a process: its commands, and the results that it prints."""

import subprocess
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from loadtests.peers.effort import COMMAND_SECONDS_MAX
from loadtests.peers.toolchain import program


class Publishing(msgspec.Struct, frozen=True):
    """Durable events, the time of all (s), and the times of requests (ms)."""

    events: int
    seconds: float
    p50: float
    p99: float


class Reading(msgspec.Struct, frozen=True):
    """Events of a feed from its start, and the time of all (s)."""

    events: int
    seconds: float


class Following(msgspec.Struct, frozen=True):
    """Delays of receipts and publishes (ms), the events a second at a steady rate, and the most deliveries a second."""

    receipt_p50: float
    receipt_p99: float
    publish_p50: float
    rate: float
    deliveries: float


class Waking(msgspec.Struct, frozen=True):
    """For each event the p99 of its delays (ms)."""

    p99: Sequence[float]


class Opening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number of followers that are connected."""

    open: int


class GeneratorError(RuntimeError):
    """A load that could not be applied as a whole."""


Result = TypeVar("Result", bound=msgspec.Struct)


def apply_load(
    target: Sequence[str],
    command: str,
    *,
    result: type[Result],
    between: Callable[[], None] | None = None,
    **options: float,
) -> Result:
    """Run a command against a system, and return its result. `between` is called while followers are idle."""
    arguments = [part for name, value in options.items() for part in (f"-{name}", str(value))]
    line = [str(program("load")), *target, *arguments, "-limit", str(COMMAND_SECONDS_MAX), command]
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        if between is not None:
            _pause(process, between)
        output, errors = process.communicate()
    if process.returncode:
        raise GeneratorError(f"{' '.join(target[:2])} {command}: {errors.strip()[-500:]}")
    return parse(output, result)


def _pause(process: subprocess.Popen[str], between: Callable[[], None]) -> None:
    """Wait until all followers are connected, and let the load go on after the call. Does nothing if it has ended."""
    text = process.stdout.readline() if process.stdout else ""
    if text and process.stdin:
        parse(text, Opening)
        between()
        process.stdin.write("\n")
        process.stdin.flush()


Line = TypeVar("Line")


def parse(text: str, kind: type[Line]) -> Line:
    """Parse a line of the load generator. Raises `GeneratorError` if it is another one."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise GeneratorError(f"the load generator printed {text.strip()[:200]!r}: {error}") from error
