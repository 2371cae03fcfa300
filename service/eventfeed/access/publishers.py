"""Rights to publish events of resources that belong to no app: the resource decides, not the source."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from eventfeed.domain.app_source import party_of_subject
from eventfeed.domain.decision import question_of
from eventfeed.domain.event import Event
from eventfeed.domain.ports import DecisionPoint, Relations
from eventfeed.domain.principal import Principal


class Publishers(NamedTuple):
    """Owners of resources, and the callers that the decision point permits to publish."""

    relations: Relations
    decisions: DecisionPoint

    async def may_publish(self, publisher: Principal, events: Sequence[Event]) -> Sequence[bool]:
        """Return True for each event that the publisher may send, with its party as subject.

        The decision point decides on each resource and party, unless the publisher owns the resource. An administrator
        may send each event that somebody may read. Raises `Unavailable` if a decision is missing.
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
