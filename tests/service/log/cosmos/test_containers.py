"""Differences between a container and the description of the engine."""

import pytest

from eventfeed.log.cosmos.containers import containers, differences

COMMITS = containers(keep_seconds=1_000)[0]
PROPERTIES = {
    "partitionKey": {"paths": ["/segment"]},
    "defaultTtl": COMMITS.ttl_seconds,
    "indexingPolicy": COMMITS.indexing,
}


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        ({}, []),
        ({"defaultTtl": None}, []),
        ({"defaultTtl": -1}, []),
        ({"defaultTtl": 1_000_000}, []),
        ({"defaultTtl": 8_199}, ["container commits deletes documents after 8199 s but must keep them for 8200 s"]),
        ({"partitionKey": {"paths": ["/id"]}}, ["container commits has the partition key /id, not /segment"]),
    ],
)
def test_container_that_loses_events_is_reported(change: dict[str, object], messages: list[str]) -> None:
    """A container that deletes later than required is accepted."""
    assert messages == differences(COMMITS, PROPERTIES | change, indexes=True)


def test_missing_indexes_are_reported_by_name() -> None:
    """Additional indexes are accepted."""
    (message,) = differences(
        COMMITS, PROPERTIES | {"indexingPolicy": {"includedPaths": [{"path": "/*"}]}}, indexes=True
    )

    assert "/identities/[]/?, /instances/[]/?" in message
    assert "/time+/last" in message
    assert [] == differences(COMMITS, PROPERTIES | {"indexingPolicy": {}}, indexes=False)


@pytest.mark.parametrize(("name", "seconds"), [("commits", 8_200), ("owners", 8_700), ("records", None)])
def test_time_to_live_follows_the_retention(name: str, seconds: int | None) -> None:
    """Owners stay longer than the commits of their instances; records stay for ever."""
    (container,) = (each for each in containers(keep_seconds=1_000) if each.name == name)

    assert seconds == container.ttl_seconds
