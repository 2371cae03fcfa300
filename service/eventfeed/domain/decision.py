"""Questions to the decision point, and its answers."""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from eventfeed.domain.app_source import party_of_subject
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.event import Event
from eventfeed.domain.uri import RESOURCE_LENGTH_MAX

# Wider than the grammar of resources: the log may hold events of earlier releases.
_URN = re.compile(r"urn:[a-z0-9][a-z0-9-]*:\S+", re.IGNORECASE)


# Actions on events, as policies name them: to read those of apps, to read those of other resources, to publish those.
Action = Literal["read", "subscribe", "publish"]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question to the decision point: is this action on the resource's events of this party permitted to the caller?

    `party` is None for an event whose subject is no party.
    """

    resource: str
    party: str | None
    action: Action = "read"


# Decisions by question. A missing question has no answer; None means that no decision is possible now.
Verdicts = Mapping[Question, bool | None]


class Undecided(Unavailable):
    """Some questions have no answer; `verdicts` holds the answers to the others."""

    def __init__(self, verdicts: Verdicts) -> None:
        super().__init__("The decision point left questions unanswered.")
        self.verdicts = verdicts


def question_of(event: Event) -> Question | None:
    """Return the question that decides who reads an event; None if no decision is possible: it needs a valid resource.

    A decision point may not answer a question that it cannot read, and the events after that one would wait.
    """
    resource = event.resource
    if resource is None or len(resource) > RESOURCE_LENGTH_MAX or not _URN.fullmatch(resource):
        return None
    action: Action = "subscribe" if event.app is None else "read"
    return Question(resource=resource, party=party_of_subject(event.subject), action=action)
