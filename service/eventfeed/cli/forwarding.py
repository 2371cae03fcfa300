"""Forwarding events to a URL of the consumer."""

import random
import time

import click
import httpx

from eventfeed.backoff import Backoff
from eventfeed.client import Event
from eventfeed.client.sender import BACKOFF_SECONDS, BACKOFF_SECONDS_MAX, TRIES_MAX
from eventfeed.client.wire import client_options

RESPONSE_SECONDS_MAX = 60.0


class Forwarder:
    """Posts events one by one, each until the response is 2xx: without a limit, or for about two minutes."""

    def __init__(self, url: str, *, without_limit: bool) -> None:
        self._url, self._without_limit = url, without_limit
        self._http = httpx.Client(timeout=RESPONSE_SECONDS_MAX, **client_options(url))

    def forward(self, event: Event) -> None:
        """Post one event. Raises `ClickException` if no attempt is left."""
        backoff, attempts = Backoff(first=BACKOFF_SECONDS, longest=BACKOFF_SECONDS_MAX, random=random.random), 0
        while failure := self._post(event):
            attempts += 1
            if attempts >= TRIES_MAX and not self._without_limit:
                raise click.ClickException(f"{self._url} did not accept {event.cursor}: {failure}")
            if attempts == 1:
                click.echo(f"{self._url} did not accept {event.cursor}: {failure}. Trying again.", err=True)
            time.sleep(backoff.next_delay())

    def _post(self, event: Event) -> str:
        """Return the reason why the event was not accepted; "" if it was."""
        try:
            headers = {"Content-Type": "application/cloudevents+json"}
            response = self._http.post(self._url, content=event.raw, headers=headers)
        except httpx.TransportError as failure:
            return str(failure) or type(failure).__name__
        return "" if response.is_success else f"status {response.status_code}"
