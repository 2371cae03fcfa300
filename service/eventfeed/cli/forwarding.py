"""Handing events on to an address of the consumer's own."""

import time

import click
import httpx

from eventfeed.cli.service import TRIES_MAX, backoff_seconds, client_for
from eventfeed.client import Event


class Forwarder:
    """Posts each event, as it is served, until it is taken: answered with 2xx. `for_ever`, or for about two minutes."""

    def __init__(self, url: str, *, for_ever: bool) -> None:
        self._url, self._for_ever = url, for_ever
        self._client = client_for(url)

    def take(self, event: Event) -> None:
        """Post one event. Raises `ClickException` when it is not taken in time."""
        tried = 0
        while (refusal := self._refused(event)) is not None:
            tried += 1
            if tried >= TRIES_MAX and not self._for_ever:
                raise click.ClickException(f"{self._url} did not take {event.cursor}: {refusal}")
            if tried == 1:
                click.echo(f"{self._url} did not take {event.cursor}: {refusal}. Trying again.", err=True)
            time.sleep(backoff_seconds(tried))

    def _refused(self, event: Event) -> str | None:
        """Why an event was not taken; None when it was."""
        try:
            headers = {"Content-Type": "application/cloudevents+json"}
            answer = self._client.post(self._url, content=event.raw, headers=headers)
        except httpx.TransportError as failure:
            return str(failure) or type(failure).__name__
        return None if answer.is_success else f"status {answer.status_code}"
