"""Time to live."""

import pytest
from azure.cosmos.exceptions import CosmosHttpResponseError

from tests.emulator.rules.account import Account
from tests.emulator.rules.azure import Clock
from tests.emulator.rules.expiry import TimeToLive
from tests.emulator.rules.sdk import container, create, item, query

SQL = "SELECT VALUE c.number FROM c WHERE c.group = 0 ORDER BY c.number"


async def test_documents_vanish_after_their_time_to_live(emulator_url: str) -> None:
    """The container's default, or a document's own; -1 keeps a document for ever."""
    clock, results = Clock(), list[object]()
    async with container(emulator_url, [TimeToLive(Account(), clock)], default_ttl=100) as things:
        await create(things, [item(1), item(2, ttl=50), item(3, ttl=-1), item(4, ttl=200)])
        for ahead in (49, 60, 110, 210):
            clock.ahead = ahead
            results.append(await query(things, SQL, group=0))
        with pytest.raises(CosmosHttpResponseError):
            await things.read_item("0001", 0)

    assert [[1, 2, 3, 4], [1, 3, 4], [3, 4], [3]] == results


async def test_replacement_begins_the_time_to_live_again(emulator_url: str) -> None:
    """The time to live counts from the last write."""
    clock = Clock()
    async with container(emulator_url, [TimeToLive(Account(), clock)], default_ttl=100) as things:
        await create(things, [item(1), item(2)])
        clock.ahead = 90
        await things.upsert_item(item(1))
        clock.ahead = 150

        assert [1] == await query(things, SQL, group=0)


async def test_container_without_a_default_deletes_nothing(emulator_url: str) -> None:
    """A document's own time to live has no effect there."""
    clock = Clock()
    async with container(emulator_url, [TimeToLive(Account(), clock)]) as things:
        await create(things, [item(1, ttl=10)])
        clock.ahead = 1_000

        assert [1] == await query(things, SQL, group=0)
