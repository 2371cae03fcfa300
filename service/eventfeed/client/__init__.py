"""A consumer's client: iterate a feed for ever, and never lose the place.

    from eventfeed.client import Client, app_feed, development_organisation

    tokens = development_organisation("991825827", scope="altinn:events/ttd/bolig")
    with Client("http://127.0.0.1:8080", tokens=tokens) as client:
        for event in client.follow(app_feed("ttd", "bolig"), after="0"):
            print(event.sequence, event.type, event.cursor)  # handle it, then keep event.cursor

It streams, falls back to waiting polls and to polls, comes back after failures from where the consumer has been, and
renews its token. What a person must decide on is raised as a `FeedError`. `AsyncClient` is the same for asyncio.
It is for the consumer's side alone: nothing here imports the rest of the package.
"""

from eventfeed.client.asynchronous import AsyncClient
from eventfeed.client.errors import (
    AnotherLogError,
    CursorExpiredError,
    FeedError,
    OutOfOrderError,
    RefusedError,
    UnreachableError,
)
from eventfeed.client.events import Event
from eventfeed.client.feeds import Feed, app_feed, instance_feed, party_feed, reportee_feed, resource_feed
from eventfeed.client.steps import Page
from eventfeed.client.sync import Client
from eventfeed.client.tokens import Tokens, development_organisation, development_person, exchanged

__all__ = [
    "AnotherLogError",
    "AsyncClient",
    "Client",
    "CursorExpiredError",
    "Event",
    "Feed",
    "FeedError",
    "OutOfOrderError",
    "Page",
    "RefusedError",
    "Tokens",
    "UnreachableError",
    "app_feed",
    "development_organisation",
    "development_person",
    "exchanged",
    "instance_feed",
    "party_feed",
    "reportee_feed",
    "resource_feed",
]
