"""Differences between a container and the description of the engine."""

import pytest

from eventfeed.log.cosmos.containers import containers, differences

EVENTS = containers(keep_seconds=1_000)[0]
PROPERTIES = {
    "partitionKey": {"paths": ["/segment"]},
    "defaultTtl": EVENTS.ttl_seconds,
    "indexingPolicy": EVENTS.indexing,
}


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        ({}, []),
        ({"defaultTtl": None}, []),
        ({"defaultTtl": -1}, []),
        ({"defaultTtl": 1_000_000}, []),
        ({"defaultTtl": 8_199}, ["container events deletes documents after 8199 s but must keep them for 8200 s"]),
        ({"partitionKey": {"paths": ["/id"]}}, ["container events has the partition key /id, not /segment"]),
    ],
)
def test_container_that_loses_events_is_reported(change: dict[str, object], messages: list[str]) -> None:
    """A container that deletes later than required is accepted."""
    assert messages == differences(EVENTS, PROPERTIES | change, indexes=True)


def test_missing_indexes_are_reported_by_name() -> None:
    """Additional indexes are accepted."""
    (message,) = differences(EVENTS, PROPERTIES | {"indexingPolicy": {"includedPaths": [{"path": "/*"}]}}, indexes=True)

    assert "/org+/app+/sequence" in message
    assert [] == differences(EVENTS, PROPERTIES | {"indexingPolicy": {}}, indexes=False)
