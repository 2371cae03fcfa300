"""Forwarding events to a URL of the consumer."""

import random
import time
from pathlib import Path
from typing import NamedTuple

import click
import httpx

from eventfeed.backoff import Backoff
from eventfeed.cli.options import parse_url
from eventfeed.client import Event
from eventfeed.client.sender import BACKOFF_SECONDS, BACKOFF_SECONDS_MAX, TRIES_MAX, retry_after_seconds
from eventfeed.client.wire import client_options

RESPONSE_SECONDS_MAX = 60.0
# The body of a response is not used; a longer one ends the connection.
BODY_BYTES_MAX = 64 * 1024
AUTHORIZATION_BYTES_MAX = 16 * 1024
STATUS_GONE = 410
# Client errors that another attempt may solve: a time-out, a conflict of early data, too many requests.
_TEMPORARY = frozenset({408, 425, 429})


class Refusal(NamedTuple):
    """The reason why an event was not accepted, the status (0 without a response) and `Retry-After` (s)."""

    reason: str
    status: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return self.reason

    @property
    def is_permanent(self) -> bool:
        """True if the receiver or its address has to change first: attempts end, also when following."""
        return self.status in range(300, 500) and self.status not in _TEMPORARY


class Forwarder:
    """Posts events one by one, each until the response is 2xx: without a limit, or for about two minutes.

    The content of the file `authorization` is the header Authorization; it may change at any time.
    """

    def __init__(self, url: str, *, authorization: Path | None, without_limit: bool) -> None:
        self._url, self._authorization, self._without_limit = _require_url(url), authorization, without_limit
        self._name = str(self._url.copy_with(userinfo=None, query=None, fragment=None))
        self._http = httpx.Client(timeout=RESPONSE_SECONDS_MAX, **client_options(url))

    def forward(self, event: Event) -> None:
        """Post one event. Raises `ClickException` if no attempt is left, or if the receiver is gone."""
        backoff, attempts = Backoff(first=BACKOFF_SECONDS, longest=BACKOFF_SECONDS_MAX, random=random.random), 0
        while refusal := self._post(event):
            attempts += 1
            text = f"{self._name} did not accept {event.cursor}: {refusal}"
            is_last = attempts >= TRIES_MAX and (refusal.is_permanent or not self._without_limit)
            if is_last or refusal.status == STATUS_GONE:
                raise click.ClickException(f"{text}. The cursor stays before this event.")
            if attempts == 1:
                click.echo(f"{text}. Trying again.", err=True)
            time.sleep(refusal.seconds + backoff.next_delay())

    def _post(self, event: Event) -> Refusal | None:
        """Return the reason why the event was not accepted; None if it was."""
        headers = {"Content-Type": "application/cloudevents+json", **self._authorization_header()}
        try:
            with self._http.stream("POST", self._url, content=event.raw, headers=headers) as response:
                _drain(response)
        except (httpx.RequestError, UnicodeError) as failure:
            return Refusal(str(failure) or type(failure).__name__)
        if response.is_success:
            return None
        reason = f"status {response.status_code}"
        seconds = retry_after_seconds({name.lower(): value for name, value in response.headers.items()})
        return Refusal(reason, status=response.status_code, seconds=seconds)

    def _authorization_header(self) -> dict[str, str]:
        if self._authorization is None:
            return {}
        with self._authorization.open("rb") as file:
            value = file.read(AUTHORIZATION_BYTES_MAX).decode(errors="replace").strip()
        if not (value.isascii() and value.isprintable() and value):
            raise click.ClickException(f"{self._authorization} is not the value of a header: one line of ASCII.")
        return {"Authorization": value}


def _require_url(text: str) -> httpx.URL:
    """Return the URL of a receiver. Raises `UsageError`, without the text, which may contain a password."""
    url = parse_url(text)
    if url is None:
        raise click.UsageError("The value of --forward-to is not a URL; write it as http://127.0.0.1:9000/events.")
    return url


def _drain(response: httpx.Response) -> None:
    """Read the body as it came, so that the connection can be used again."""
    size = 0
    for chunk in response.iter_raw():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            return
