"""`eventfeed scenarios`: the five scenarios against a running service, step by step (contract section 1)."""

import sys
import uuid
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import click
import msgspec

from eventfeed.cli import INTERRUPT_EXIT_CODE
from eventfeed.cli.arguments import Command
from eventfeed.cli.options import TTD, plain_errors, service_url, url_option
from eventfeed.cli.terminal import count_of_events, escape_controls
from eventfeed.client import (
    Client,
    Event,
    Publisher,
    Receipt,
    RefusedError,
    Tokens,
    development_organisation,
    development_person,
    development_system_user,
    feeds,
)
from eventfeed.domain.principal import SCOPE_PUBLISH, SCOPE_REPORTEES

CASE_COMPLETED, FEEDBACK, ESTATE = "instance.process.completed", "instance.feedback.received", "estate.created"
# The attributes of an event that are public.
PUBLIC = {"specversion", "id", "source", "type", "time", "sequence"}

# The development population (contract section 8).
SKD, ACCOUNTANT = "974761076", "310000022"
BANK, OTHER_BANK = "310000033", "310000044"
KARI, OLA = "01838012345", "02838012346"
KARIS_PARTY, BAKERYS_PARTY, ACCOUNTANTS_PARTY = "50000001", "51000011", "51000022"
BAKERY, SYSTEM_USER = "310000011", "7b2e0a4c-5d3f-4c66-9a51-9a0000000011"


class Case(NamedTuple):
    """A case in an app: its instance, the time of its first event, and the receipt of its last."""

    instance: str
    start: str
    last: Receipt

    def is_in(self, events: Sequence[Event]) -> bool:
        """True if the last event of the case is there, once, at the sequence of its receipt."""
        return [event.sequence for event in events if event.id == self.last.id] == [self.last.sequence]


class Run:
    """A run of the scenarios against the service at this URL, and the number of events it has published."""

    def __init__(self, url: str) -> None:
        self.url, self.published = url, 0

    def require(self, condition: object, text: str) -> None:
        """Stop if a condition does not hold."""
        if not condition:
            raise click.ClickException(f"this must hold and does not: {text}")

    def organisation(self, number: str, scope: str, *, name: str = "") -> Tokens:
        """Get a platform token for an organisation."""
        tokens = development_organisation(number, scope=scope)
        return self._log_in(tokens, f"{name or f'organisation {number}'} got a token of maskinporten for {scope}")

    def person(self, number: str, name: str, *, level: str = "high") -> Tokens:
        """Get a platform token for a person."""
        tokens = development_person(number, level=level)
        return self._log_in(tokens, f"{name} got a token of id-porten at level {level}")

    def system_user(self, uuid: str, name: str, *, owner: str, vendor: str) -> Tokens:
        """Get a platform token for a system user of the organisation `owner`, in a system of `vendor`."""
        tokens = development_system_user(uuid, owner=owner, vendor=vendor, scope="altinn:events")
        return self._log_in(tokens, f"{name} got a token of maskinporten by its vendor, organisation {vendor}")

    def _log_in(self, tokens: Tokens, step: str) -> Tokens:
        with Client(self.url, tokens=tokens) as client:
            client.token()
        click.echo(f"  {step}, and exchanged it for a platform token")
        return tokens

    def publish(self, app: str, *types: str, owner: str, party: str) -> Case:
        """Publish a new case of an app, as the organisation that owns it."""
        instance = f"{party}/{uuid.uuid4()}"
        source = f"https://{app.partition('/')[0]}.apps.example.no/{app}/instances/{instance}"
        event = {"source": source, "specversion": "1.0", "subject": f"/party/{party}"}
        with Publisher(self.url, tokens=self.organisation(owner, SCOPE_PUBLISH)) as publisher:
            receipts = publisher.publish({**event, "type": each} for each in types)
        self.published += len(receipts)
        click.echo(f"  published a case of {app} for party {party}: {count_of_events(len(receipts))}")
        return Case(instance, receipts[0].time, receipts[-1])

    def read(self, feed: feeds.Feed, tokens: Tokens | None = None, *, after: str = "0") -> Sequence[Event]:
        """Read a feed. The sequence increases strictly."""
        with Client(self.url, tokens=tokens) as client:
            pages = list(client.pages(feed, after=after, size=1000))
        events = [event for page in pages for event in page.events]
        click.echo(f"  {feed.method} {feed}: {count_of_events(len(events))}, cursor {pages[-1].cursor}")
        in_order = all(event.sequence < successor.sequence for event, successor in pairwise(events))
        self.require(in_order, "the sequence increases strictly")
        return events


@click.command(cls=Command)
@url_option
def scenarios(url: str | None) -> None:
    """Run the scenarios against a running service, and print each step with its result."""
    run = Run(service_url(url))
    try:
        for scenario in SCENARIOS:
            click.echo(scenario.__doc__)
            with plain_errors(run.url):
                scenario(run)
            click.echo("  passed\n")
    except KeyboardInterrupt:
        click.echo(
            f"\nInterrupted: published {count_of_events(run.published)} so far, which stay in the log.", err=True
        )
        sys.exit(INTERRUPT_EXIT_CODE)


def read_app_feed(run: Run) -> None:
    """S1: a case goes through an app; its org, which waits for completed cases, receives the event once."""
    case = run.publish("ttd/bolig", "instance.created", CASE_COMPLETED, owner=TTD, party=KARIS_PARTY)
    tokens = run.organisation(TTD, "altinn:events/ttd/bolig")
    feed = feeds.app_feed("ttd", "bolig", types=[CASE_COMPLETED], since=case.start)
    events = run.read(feed, tokens)
    run.require(all(event.type == CASE_COMPLETED for event in events), f"all events are of type {CASE_COMPLETED}")
    run.require(case.is_in(events), "the completed case is there once, at its receipt's sequence")
    ids = {event.id for event in events}
    later = run.read(feed, tokens, after=events[-1].cursor)
    run.require(not any(event.id in ids for event in later), "no event comes a second time after the cursor")


def read_as_citizen(run: Run) -> None:
    """S2: a citizen reads new events of her own and of a client; another citizen sees none of them."""
    own = run.publish("ttd/forerkort", CASE_COMPLETED, owner=TTD, party=KARIS_PARTY)
    client = run.publish("ttd/bolig", CASE_COMPLETED, owner=TTD, party=BAKERYS_PARTY)
    kari = run.person(KARI, "Kari")
    run.require(own.is_in(run.read(feeds.party_feed(since=own.start), kari)), "Kari sees her own case")
    bakery = run.read(feeds.party_feed(since=own.start, party=BAKERYS_PARTY), kari)
    run.require(client.is_in(bakery), "Kari sees the bakery's case, because she acts for the bakery")
    ola = run.person(OLA, "Ola")
    karis = run.read(feeds.party_feed(since=own.start, party=KARIS_PARTY), ola)
    run.require(not karis, "Ola sees no event of Kari's")
    low = run.person(KARI, "Kari", level="low")
    run.require(not run.read(feeds.party_feed(since=own.start), low), "at level low, Kari sees no event")


def read_as_accountant(run: Run) -> None:
    """S3: an accountant reads new events of a client, and sees none of a party that it does not act for."""
    client = run.publish("ttd/bolig", CASE_COMPLETED, owner=TTD, party=BAKERYS_PARTY)
    run.publish("ttd/bolig", CASE_COMPLETED, owner=TTD, party=KARIS_PARTY)
    accountant = run.organisation(ACCOUNTANT, "altinn:events", name="the accountant")
    bakery = run.read(feeds.party_feed(since=client.start, unit=BAKERY), accountant)
    run.require(client.is_in(bakery), "the accountant sees the bakery's case")
    karis = run.read(feeds.party_feed(since=client.start, party=KARIS_PARTY), accountant)
    run.require(not karis, "the accountant sees no event of Kari's")
    own = run.publish("ttd/bolig", CASE_COMPLETED, owner=TTD, party=ACCOUNTANTS_PARTY)
    system_user = run.system_user(SYSTEM_USER, "the bakery's system user", owner=BAKERY, vendor=ACCOUNTANT)
    bakery = run.read(feeds.party_feed(since=client.start), system_user)
    run.require(client.is_in(bakery), "the system user sees the bakery's case")
    vendors = run.read(feeds.party_feed(since=own.start, party=ACCOUNTANTS_PARTY), system_user)
    run.require(not vendors, "the system user sees no event of its vendor, the accountant")


def read_as_bank(run: Run) -> None:
    """S4: an approved bank receives the event of a death estate; a bank without an approval is refused."""
    estate = run.publish("skd/dodsbo", "instance.created", ESTATE, owner=SKD, party="50000002")
    bank = run.organisation(BANK, SCOPE_REPORTEES, name="Storbanken")
    feed = feeds.reportee_feed([ESTATE], since=estate.start)
    events = run.read(feed, bank)
    run.require(estate.is_in(events), "the bank receives the estate")
    run.require(all(event.type == ESTATE for event in events), f"all events are of type {ESTATE}")
    other = run.organisation(OTHER_BANK, SCOPE_REPORTEES, name="Lillebanken")
    try:
        run.read(feed, other)
        code = ""
    except RefusedError as refusal:
        code = refusal.code
        click.echo(f"  {feed.method} {feed}: {refusal.status} {escape_controls(code)}")
    run.require(code == "not-approved", "a bank without an approval is refused")


def read_instance_feed(run: Run) -> None:
    """S5: the holder of an instance id receives feedback, and only attributes that are public."""
    case = run.publish("ttd/bolig", "instance.created", CASE_COMPLETED, FEEDBACK, owner=TTD, party=KARIS_PARTY)
    events = run.read(feeds.instance_feed(case.instance))
    run.require([event.type for event in events][-1:] == [FEEDBACK], "the submission has feedback")
    is_public = all(msgspec.json.decode(event.raw, type=dict[str, object]).keys() == PUBLIC for event in events)
    run.require(is_public, f"an event has only {', '.join(sorted(PUBLIC))}")
    no_events = run.read(feeds.instance_feed(f"{KARIS_PARTY}/{uuid.uuid4()}"))
    run.require(not no_events, "an unknown instance looks like one without events")


SCENARIOS = (read_app_feed, read_as_citizen, read_as_accountant, read_as_bank, read_instance_feed)
