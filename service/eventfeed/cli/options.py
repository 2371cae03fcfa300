"""Options, settings, stores and errors that several commands share."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import httpx

from eventfeed.access.local import Population, population_file
from eventfeed.client import CursorExpiredError, FeedError, RefusedError, Tokens, UnreachableError
from eventfeed.client.tokens import FixedToken
from eventfeed.domain.errors import Failure
from eventfeed.domain.moment import parse_moment
from eventfeed.settings import Settings, SettingsError, from_environment

if TYPE_CHECKING:
    from eventfeed.app.store import Store

Result = TypeVar("Result")
# The caller if no token is set and the feed names nobody: Testdepartementet.
TTD = "991825827"
_PORTS = range(65_536)

url_option = click.option(
    "--url", metavar="U", help="The service. Default: EVENTFEED_PUBLIC_URL, or the address it listens on."
)


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turn invalid settings (exit code 2) and failures of the store or the system (1) into one message."""
    try:
        yield
    except SettingsError as fault:
        raise click.UsageError(str(fault)) from None
    except BrokenPipeError:
        raise
    except OSError as failure:
        text = f"{failure.filename}: {failure.strerror}." if failure.filename else str(failure)
        raise click.ClickException(text) from None
    except Failure as failure:
        raise click.ClickException(str(failure)) from None


def settings_here(*, host: str | None = None, port: int | None = None) -> Settings:
    """Return the settings of the environment; options override them. Invalid settings end the command (exit code 2)."""
    with plain_failures():
        return from_environment(host=host, port=port)


def moment(text: str) -> int:
    """Return the time of an option (µs since 1970), as a type of click."""
    parsed = parse_moment(text)
    if parsed is None:
        raise click.BadParameter(f"{text!r} is not a time with an offset, such as 2026-01-31T12:00:00Z.")
    return parsed


def run_on_store(work: Callable[["Store"], Coroutine[None, None, Result]], *, reads_only: bool = False) -> Result:
    """Return the result of work on the store. A command that maintains a store does not create an empty one.

    With `reads_only` the store is left as it is, and an older layout is refused.
    """
    settings = settings_here()
    if settings.cosmos is None and not settings.sqlite_path.exists():
        raise click.UsageError(
            f"There is no store at {settings.sqlite_path}: run this where the service runs, or set EVENTFEED_STORE."
        )
    # Not at the top: other commands start faster without a server, and do not need one.
    from eventfeed.app.store import Store  # noqa: PLC0415
    from eventfeed.telemetry.telemetry import Telemetry  # noqa: PLC0415

    async def run() -> Result:
        store = Store(settings, Telemetry())
        async with store.open_to_read() if reads_only else store.open(create=True):
            return await work(store)

    with plain_failures():
        return asyncio.run(run())


def population_here() -> Population:
    """Return the development identities: those of the register file, or those that come with the service."""
    register = settings_here().register
    with plain_failures():
        return population_file(Path(register) if register else None).value


def tokens_here(tokens: Tokens) -> Tokens:
    """Return the token of the settings, or these tokens of a development identity if there is none."""
    token = settings_here().token
    return FixedToken(token) if token else tokens


def service_url(option: str | None) -> str:
    """Return the URL of the service: the option, or its public URL, or the address it listens on."""
    settings = settings_here()
    url = (option or settings.public_url or settings.own_url).rstrip("/")
    if parse_url(url) is None:
        raise click.UsageError(f"{url} is not the URL of a service; write it as http://127.0.0.1:8080.")
    return url


def parse_url(text: str) -> httpx.URL | None:
    """Return the URL of an HTTP server; None for any other text."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return None
    is_usable = url.scheme in ("http", "https") and url.host and (url.port or 0) in _PORTS
    return url if is_usable else None


@contextmanager
def plain_errors(url: str) -> Iterator[None]:
    """Turn errors of the client into one message with the next step (exit code 1)."""
    try:
        yield
    except FeedError as failure:
        raise click.ClickException(_message(url, failure)) from None


def _message(url: str, failure: FeedError) -> str:
    match failure:
        case UnreachableError():
            return f"No service answers at {url} ({failure}). Start one with `make run`, or name it with --url."
        case CursorExpiredError():
            return (
                f"{failure.detail} The events in between are deleted. Get them from their owner, "
                f"then continue with --after {failure.oldest_cursor} and a new cursor file."
            )
        case RefusedError(status=httpx.codes.NOT_FOUND) if failure.path.startswith("/development/"):
            return f"{url} has no development identities; set EVENTFEED_TOKEN to a platform token."
        case RefusedError():
            return f"{url}{failure.path}: {failure}"
        case _:
            return str(failure)
