"""The client: read feeds without losing the position, and publish events.

    from eventfeed.client import Client, app_feed, development_organisation

    tokens = development_organisation("991825827", scope="altinn:events/ttd/bolig")
    with Client("http://127.0.0.1:8080", tokens=tokens) as client:
        for event in client.follow(app_feed("ttd", "bolig"), after="0"):
            print(event.sequence, event.type, event.cursor)  # handle it, then store event.cursor

`Client` streams. If streaming fails, it uses long polls, then short polls. It reconnects after failures, resumes from
the last cursor, and renews its token. `Publisher` sends events in batches and returns their receipts. Both raise a
`FeedError` if a retry cannot help. `AsyncClient` and `AsyncPublisher` are the same for asyncio.
"""

from eventfeed.client.asynchronous import AsyncClient, AsyncPublisher
from eventfeed.client.errors import (
    AnotherLogError,
    CursorExpiredError,
    EventsRejectedError,
    FeedError,
    OutOfOrderError,
    RefusedError,
    UnreachableError,
)
from eventfeed.client.events import Event
from eventfeed.client.feeds import Feed, app_feed, instance_feed, party_feed, reportee_feed, resource_feed
from eventfeed.client.receipts import Batch, Fault, Receipt, Rejection
from eventfeed.client.steps import Page
from eventfeed.client.sync import Client, Publisher
from eventfeed.client.tokens import (
    Tokens,
    development_organisation,
    development_person,
    development_system_user,
    token_exchange,
)

__all__ = [
    "AnotherLogError",
    "AsyncClient",
    "AsyncPublisher",
    "Batch",
    "Client",
    "CursorExpiredError",
    "Event",
    "EventsRejectedError",
    "Fault",
    "Feed",
    "FeedError",
    "OutOfOrderError",
    "Page",
    "Publisher",
    "Receipt",
    "RefusedError",
    "Rejection",
    "Tokens",
    "UnreachableError",
    "app_feed",
    "development_organisation",
    "development_person",
    "development_system_user",
    "instance_feed",
    "party_feed",
    "reportee_feed",
    "resource_feed",
    "token_exchange",
]
