"""`eventfeed scenarios`: the mission, walked against a running service, step by step (contract section 1)."""

import itertools
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import click
import httpx
import msgspec

from eventfeed.cli.options import settings_here, url_option
from eventfeed.cli.service import (
    Identity,
    client_for,
    expected,
    organisation,
    person,
    platform_token,
    problem_of,
    unreachable,
    url_of,
)
from eventfeed.domain.principal import SCOPE_PUBLISH, SCOPE_REPORTEES

COMPLETED, FEEDBACK, ESTATE = "instance.process.completed", "instance.feedback.received", "estate.created"
# What anyone may see of an event.
SAFE = {"specversion", "id", "source", "type", "time", "sequence"}

# The development population (contract section 8).
TTD, SKD, ACCOUNTANT = "991825827", "974761076", "310000022"
BANK, OTHER_BANK = "310000033", "310000044"
KARI, OLA = "01838012345", "02838012346"
KARIS_PARTY, BAKERYS_PARTY = "50000001", "51000011"

Members = Mapping[str, object]


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario looks at in a receipt."""

    id: str
    sequence: str
    time: str


class Case(NamedTuple):
    """A case that went through an app: its instance, and the receipts of its events."""

    instance: str
    receipts: Sequence[Published]


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

    def token(self, identity: Identity, who: str) -> Mapping[str, str]:
        """The header with a platform token, through the development issuer and the exchange."""
        token = platform_token(self.client, self.url, identity=identity)
        scope = f" for {identity.form['scope']}" if "scope" in identity.form else f" at level {identity.form['level']}"
        self.tell(f"{who} got a token of {identity.provider}{scope}, and exchanged it for a platform token")
        return {"Authorization": f"Bearer {token}"}

    def published(self, app: str, *types: str, owner: str, party: str) -> Case:
        """A new case of an app, published by the organisation that owns it."""
        bearer = self.token(organisation(owner, scope=SCOPE_PUBLISH), f"organisation {owner}")
        instance, org = f"{party}/{uuid.uuid4()}", app.partition("/")[0]
        source = f"https://{org}.apps.example.no/{app}/instances/{instance}"
        base = {"source": source, "specversion": "1.0", "subject": f"/party/{party}"}
        events = [{**base, "type": each} for each in types]
        answer = expected(self.client.post(f"{self.url}/events/api/v1/app", json=events, headers=bearer))
        receipts = msgspec.json.decode(answer.content, type=list[Published])
        self.tell(f"POST /events/api/v1/app: a case of {app} for party {party}, {len(receipts)} events")
        return Case(instance, receipts)

    def events(self, answer: httpx.Response) -> Sequence[Members]:
        """The events of a page, told. Their sequences increase strictly."""
        events = msgspec.json.decode(expected(answer).content, type=list[dict[str, object]])
        place = f"{answer.request.method} {answer.request.url.raw_path.decode()}"
        self.tell(f"{place}: {len(events)} events, cursor {answer.headers['feed-cursor']}")
        order = [str(event["sequence"]) for event in events]
        self.require(all(one < other for one, other in itertools.pairwise(order)), "sequences increase strictly")
        return events

    def of_party(self, bearer: Mapping[str, str], body: Members) -> Sequence[Members]:
        """What a caller sees of a party."""
        url = f"{self.url}/events/api/v1/party/"
        return self.events(self.client.post(url, json=body, headers=bearer))

    def shows(self, events: Sequence[Members], case: Case) -> bool:
        """Whether the case's last event is there, once, at its receipt's sequence."""
        last = case.receipts[-1]
        return [event["sequence"] for event in events if event["id"] == last.id] == [last.sequence]


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
    case = walk.published("ttd/bolig", "instance.created", COMPLETED, owner=TTD, party=KARIS_PARTY)
    bearer = walk.token(organisation(TTD, scope="altinn:events/ttd/bolig"), f"organisation {TTD}")
    feed = f"{walk.url}/events/api/v1/app/ttd/bolig"
    params = {"from": case.receipts[0].time, "eventType": COMPLETED, "size": "1000"}
    first = walk.client.get(feed, params=params, headers=bearer)
    events = walk.events(first)
    walk.require(all(event["type"] == COMPLETED for event in events), f"only {COMPLETED} comes")
    walk.require(walk.shows(events, case), "the completed case is there once, at its receipt's sequence")
    later = walk.events(walk.client.get(first.headers["next"], headers=bearer))
    seen = {event["id"] for event in events}
    walk.require(not any(event["id"] in seen for event in later), "asked again from the cursor, nothing comes twice")


def citizen_asks(walk: Walk) -> None:
    """S2: a citizen asks what is new for herself and for a client; another citizen sees nothing of it."""
    own = walk.published("ttd/forerkort", COMPLETED, owner=TTD, party=KARIS_PARTY)
    client = walk.published("ttd/bolig", COMPLETED, owner=TTD, party=BAKERYS_PARTY)
    kari = walk.token(person(KARI), "Kari")
    body = {"from": own.receipts[0].time, "size": 1000}
    walk.require(walk.shows(walk.of_party(kari, body), own), "Kari sees her own case")
    bakery = walk.of_party(kari, {**body, "party": BAKERYS_PARTY})
    walk.require(walk.shows(bakery, client), "Kari sees the bakery's case, which she acts for")
    ola = walk.token(person(OLA), "Ola")
    walk.require(not walk.of_party(ola, {**body, "party": KARIS_PARTY}), "Ola sees nothing of Kari's")
    unsure = walk.token(person(KARI, level="low"), "someone who says she is Kari")
    walk.require(not walk.of_party(unsure, body), "at a low level nobody sees anything of Kari's")


def organisation_asks(walk: Walk) -> None:
    """S3: an accountant asks what is new for a client, and sees nothing of whom it does not act for."""
    client = walk.published("ttd/bolig", COMPLETED, owner=TTD, party=BAKERYS_PARTY)
    walk.published("ttd/bolig", COMPLETED, owner=TTD, party=KARIS_PARTY)
    accountant = walk.token(organisation(ACCOUNTANT, scope="altinn:events"), "the accountant")
    body = {"from": client.receipts[0].time, "size": 1000}
    bakery = walk.of_party(accountant, {**body, "unit": "310000011"})
    walk.require(walk.shows(bakery, client), "the accountant sees the bakery's case")
    kari = walk.of_party(accountant, {**body, "party": KARIS_PARTY})
    walk.require(not kari, "the accountant sees nothing of Kari's")


def approved_organisation_hears(walk: Walk) -> None:
    """S4: an approved bank hears of a death estate of anybody; a bank without an approval is refused."""
    estate = walk.published("skd/dodsbo", "instance.created", ESTATE, owner=SKD, party="50000002")
    bank = walk.token(organisation(BANK, scope=SCOPE_REPORTEES), "Storbanken")
    params = {"from": estate.receipts[0].time, "eventType": ESTATE, "size": "1000"}
    feed = f"{walk.url}/events/api/v1/reportees"
    events = walk.events(walk.client.get(feed, params=params, headers=bank))
    walk.require(walk.shows(events, estate), "the bank hears of the estate")
    walk.require(all(event["type"] == ESTATE for event in events), f"only {ESTATE} comes")
    other = walk.token(organisation(OTHER_BANK, scope=SCOPE_REPORTEES), "Lillebanken")
    refusal = walk.client.get(feed, params=params, headers=other)
    walk.tell(f"GET /events/api/v1/reportees: {refusal.status_code} {problem_of(refusal).code}")
    walk.require(problem_of(refusal).code == "not-approved", "a bank without an approval is refused")


def holder_of_an_instance_id_asks(walk: Walk) -> None:
    """S5: whoever holds an instance id hears of feedback, and of nothing that is not safe for anyone."""
    case = walk.published("ttd/bolig", "instance.created", COMPLETED, FEEDBACK, owner=TTD, party=KARIS_PARTY)
    feed = f"{walk.url}/events/instanceeventsforinstance"
    events = walk.events(walk.client.post(f"{feed}/{case.instance}"))
    walk.require([event["type"] for event in events][-1:] == [FEEDBACK], "the submission has got feedback")
    walk.require(all(event.keys() == SAFE for event in events), f"an event shows {', '.join(sorted(SAFE))} alone")
    unknown = walk.events(walk.client.post(f"{feed}/{KARIS_PARTY}/{uuid.uuid4()}"))
    walk.require(not unknown, "an unknown instance looks like one without events")


Scenario = Callable[[Walk], None]
SCENARIOS: Sequence[tuple[str, Scenario]] = (
    ("S1: an org waits for an app's completed cases", app_polled_by_its_org),
    ("S2: a citizen asks what is new for her and for a client", citizen_asks),
    ("S3: an accountant asks what is new for a client", organisation_asks),
    ("S4: an approved bank hears of changes for everyone", approved_organisation_hears),
    ("S5: the holder of an instance id asks for feedback", holder_of_an_instance_id_asks),
)
