"""`eventfeed scenarios`: the mission, walked against a running service, step by step."""

import itertools
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import click
import httpx
import msgspec

from eventfeed.cli.options import settings_here, url_option
from eventfeed.cli.service import client_for, expected, maskinporten_token, platform_token, unreachable, url_of

COMPLETED = "instance.process.completed"
CASE = ("instance.created", "instance.process.movedTo.Task_2", COMPLETED)
TTD = "991825827"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario looks at in an event."""

    id: str
    source: str
    type: str
    sequence: str


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario looks at in a receipt."""

    id: str
    sequence: str
    time: str


class Walk(NamedTuple):
    """One walk through the scenarios: the service, and a voice."""

    client: httpx.Client
    url: str

    def tell(self, step: str) -> None:
        """Say what was done and what came back."""
        click.echo(f"  {step}")

    def require(self, holds: object, what: str) -> None:
        """End the walk when something that must hold does not."""
        if not holds:
            raise click.ClickException(f"this must hold and does not: {what}")

    def token(self, scope: str) -> str:
        """A platform token of `ttd` with this scope, through the development Maskinporten and the exchange."""
        external = maskinporten_token(self.client, self.url, organisation=TTD, scope=scope)
        exchanged = platform_token(self.client, self.url, token=external)
        self.tell(f"Maskinporten gave organisation {TTD} a token with {scope}; exchanged for a platform token")
        return exchanged


@click.command()
@url_option
def scenarios(url: str | None) -> None:
    """Walk the scenarios against a running service, telling each step and what came back."""
    where = url_of(settings_here(), url)
    with client_for(where) as client:
        walk = Walk(client, where)
        for name, scenario in SCENARIOS:
            click.echo(name)
            try:
                scenario(walk)
            except httpx.TransportError as failure:
                raise unreachable(walk.url, failure) from None
            click.echo("  passed\n")


def app_polled_by_its_org(walk: Walk) -> None:
    """S1: a case goes through an app; its org, which waits for completed cases, hears of it once."""
    receipts = _publish_case(walk, walk.token("altinn:events.publish"))
    token = walk.token("altinn:events/ttd/bolig")
    first = _page(walk, token, params=[("from", receipts[0].time), ("eventType", COMPLETED)])
    events = msgspec.json.decode(first.content, type=list[Seen])
    walk.tell(f"GET {first.request.url}: {len(events)} events, cursor {first.headers['feed-cursor']}")
    walk.require(all(event.type == COMPLETED for event in events), f"only {COMPLETED} comes")
    order = [event.sequence for event in events]
    walk.require(all(one < other for one, other in itertools.pairwise(order)), "sequences increase strictly")
    found = [event.sequence for event in events if event.id == receipts[-1].id]
    walk.require(found == [receipts[-1].sequence], "the completed case is there once, at its receipt's sequence")
    walk.tell(f"the case is there, at sequence {found[0]}")
    again = expected(walk.client.get(first.headers["next"], headers={"Authorization": f"Bearer {token}"}))
    later = msgspec.json.decode(again.content, type=list[Seen])
    walk.require(not {event.id for event in later} & {event.id for event in events}, "nothing comes twice")
    walk.tell(f"asked again from the cursor: {len(later)} events, none of them twice")


def _publish_case(walk: Walk, token: str) -> Sequence[Published]:
    """Receipts of the events of a new case, in order."""
    source = f"https://ttd.apps.example.no/ttd/bolig/instances/50000001/{uuid.uuid4()}"
    base = {"source": source, "specversion": "1.0", "subject": "/party/50000001"}
    answer = expected(
        walk.client.post(
            f"{walk.url}/events/api/v1/app",
            json=[{**base, "type": type_} for type_ in CASE],
            headers={"Authorization": f"Bearer {token}"},
        ),
    )
    receipts = msgspec.json.decode(answer.content, type=list[Published])
    walk.tell(f"POST /events/api/v1/app: a case of {len(receipts)} events, first at {_local(receipts[0].time)}")
    return receipts


def _page(walk: Walk, token: str, *, params: Sequence[tuple[str, str]]) -> httpx.Response:
    """A page of the app's feed, as large as can be."""
    url = f"{walk.url}/events/api/v1/app/ttd/bolig"
    headers = {"Authorization": f"Bearer {token}"}
    return expected(walk.client.get(url, params=[*params, ("size", "1000")], headers=headers))


def _local(time: str) -> str:
    return datetime.fromisoformat(time).astimezone(UTC).strftime("%H:%M:%S.%f UTC")


Scenario = Callable[[Walk], None]
SCENARIOS: Sequence[tuple[str, Scenario]] = (("S1: an org waits for an app's completed cases", app_polled_by_its_org),)
