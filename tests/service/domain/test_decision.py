"""Questions to the decision point."""

import msgspec
import pytest

from eventfeed.domain.decision import Question, Undecided, question_of
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.uri import RESOURCE_LENGTH_MAX
from tests.support.events import event

BOLIG = "urn:altinn:resource:app_ttd_bolig"


def test_question_of_an_event_names_resource_and_party() -> None:
    """An event whose subject is no party gives a question without one."""
    no_party = msgspec.structs.replace(event(), subject="/case/7")

    assert Question(resource=BOLIG, party="50000001", action="read") == question_of(event())
    assert Question(resource=BOLIG, party=None, action="read") == question_of(no_party)


def test_action_for_events_of_no_app_is_subscribe() -> None:
    """The policies of such resources name it, as those of apps name `read`."""
    question = question_of(event(app=None, resource="urn:altinn:resource:dialog"))

    assert Question(resource="urn:altinn:resource:dialog", party="50000001", action="subscribe") == question


@pytest.mark.parametrize(
    "resource", [None, "", "x", "urn:", "urn:x", "urn:x:a b", "urn:x:" + "x" * RESOURCE_LENGTH_MAX]
)
def test_event_without_a_valid_resource_gives_no_question(resource: str | None) -> None:
    """The event has no resource, one that is no URN, or one that is too long."""
    assert question_of(event(app=None, resource=resource)) is None


def test_resource_of_the_greatest_length_gives_a_question() -> None:
    """The limit itself is allowed."""
    longest = "urn:x:".ljust(RESOURCE_LENGTH_MAX, "x")

    question = question_of(event(app=None, resource=longest))

    assert Question(resource=longest, party="50000001", action="subscribe") == question


def test_undecided_is_unavailable_and_keeps_the_other_decisions() -> None:
    """A reader may use them up to the first question without a decision."""
    question, other = Question(resource="urn:x:a", party="1"), Question(resource="urn:x:b", party="1")
    failure = Undecided({question: True, other: None})

    assert isinstance(failure, Unavailable)
    assert ({question: True, other: None}, 1) == (failure.verdicts, failure.retry_seconds)
