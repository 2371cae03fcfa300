"""Documents of entries in Cosmos DB."""

import pytest

from eventfeed.domain.event import Event
from eventfeed.log.cosmos.documents import document_of, entry_of
from tests.support.events import entry, event


@pytest.mark.parametrize("original_event", [event(), event(app=None), event(app=None, resource="urn:x")])
def test_entry_returns_from_its_document_unchanged(original_event: Event) -> None:
    """Members that an event lacks stay absent."""
    original = entry(1, of=original_event)

    assert original == entry_of(document_of(original, segment=0))
