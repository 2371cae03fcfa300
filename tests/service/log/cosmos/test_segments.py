"""Responses of one segment: a proof that the replica is current, and the budget of a scan."""

import pytest

from eventfeed.domain.feed import app_feed
from eventfeed.log.cosmos.database import Document
from eventfeed.log.cosmos.documents import document_of, entry_of
from eventfeed.log.cosmos.segments import ScanBudget, SegmentSlice, fit
from tests.support.events import TTD, entry, event

FEED = app_feed(TTD)


def documents_at(*sequences: int, other: int = 0) -> list[Document]:
    """Documents of the feed, and one of another feed at `other`."""
    documents = [document_of(entry(each), segment=0) for each in sequences]
    return [*documents, document_of(entry(other, of=event(app=None)), segment=0)] if other else documents


@pytest.mark.parametrize(
    ("documents", "segment_slice"),
    [
        (documents_at(1, 3, 9), ([1, 3, 9], 9)),
        (documents_at(1, 3, other=9), ([1, 3], 9)),
        (documents_at(other=9), ([], 9)),
        (documents_at(1, 2, 3, 4, 5), ([1, 2, 3, 4], 4)),
        (documents_at(1, 3), None),
        (documents_at(), None),
    ],
)
def test_response_without_the_last_entry_is_of_a_stale_replica(
    documents: list[Document], segment_slice: tuple[list[int], int] | None
) -> None:
    """A response is complete if it has the last entry of the range, or if the budget is used up."""
    result = fit(documents, FEED, through=9, budget=ScanBudget(entries=4, bytes=10_000))

    sequences = None if result is None else ([each.sequence for each in result.entries], result.through)
    assert segment_slice == sequences


def test_slice_ends_at_the_last_entry_within_the_bytes() -> None:
    """The first entry always fits."""
    documents = [document_of(entry(sequence, of=event(size=1_000)), segment=0) for sequence in (1, 2, 9)]
    first = entry_of(documents[0])

    assert SegmentSlice([first], 1) == fit(documents, FEED, through=9, budget=ScanBudget(entries=4, bytes=10))
