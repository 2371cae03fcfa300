"""Rights of publishers: which events of no app they may publish, and how many events in a time."""

import asyncio
import math
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from eventfeed.access.rate_limit import RateLimit
from eventfeed.domain.app_source import party_of_subject
from eventfeed.domain.decision import question_of
from eventfeed.domain.errors import TooManyRequests
from eventfeed.domain.event import Event
from eventfeed.domain.ports import DecisionPoint, Relations
from eventfeed.domain.principal import Principal


class Publishers(NamedTuple):
    """Owners of resources, the callers that the decision point permits to publish, and the limit of events."""

    relations: Relations
    decisions: DecisionPoint
    rate: RateLimit | None = None

    async def may_publish(self, publisher: Principal, events: Sequence[Event]) -> Sequence[bool]:
        """Return True for each event of no app that the publisher may send, with its party as subject.

        The resource decides, not the source: the decision point decides on each resource and party, unless the
        publisher owns the resource. An administrator may send each event that somebody may read. Raises `Unavailable`
        if a decision is missing.
        """
        if publisher.is_publish_admin:
            return [
                await self.relations.may_have_reader(event.resource or "", party_of_subject(event.subject))
                for event in events
            ]
        resources = {event.resource for event in events if event.resource is not None}
        owned = {resource for resource in resources if await self.relations.owns(publisher, resource)}
        questions = [None if event.resource in owned else question_of(event) for event in events]
        publishing = {question: replace(question, action="publish") for question in questions if question is not None}
        permits = await self.decisions.allowed(publisher, frozenset(publishing.values()))
        return [
            event.resource in owned or (question is not None and publishing[question] in permits)
            for event, question in zip(events, questions, strict=True)
        ]

    def count_events(self, publisher: Principal, events: Sequence[Event]) -> None:
        """Count events of the publisher's organisation, for an app token that of the app. Raises `TooManyRequests`."""
        if self.rate is None:
            return
        app, now = events[0].app, asyncio.get_running_loop().time()
        organisation = publisher.org or (publisher.caller if publisher.is_publisher or app is None else app.org)
        if (seconds := self.rate.wait(organisation, now=now)) > 0:
            detail = "The organisation publishes more events than this service allows. Nothing was written."
            raise TooManyRequests(detail, retry_seconds=math.ceil(seconds))
        self.rate.count(organisation, now=now, requests=len(events))
