"""Documents of entries."""

import pytest

from eventfeed.domain.event import Event
from eventfeed.log.cosmos.documents import document_of, entry_of
from tests.support.events import entry, event


@pytest.mark.parametrize("each", [event(), event(app=None), event(app=None, resource="urn:x")])
def test_entry_returns_from_its_document_unchanged(each: Event) -> None:
    """Members that an event lacks stay absent."""
    original = entry(1, of=each)

    assert original == entry_of(document_of(original, segment=0))
