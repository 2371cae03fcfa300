"""Session tokens, and a replica that lags."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

from tests.emulator.rules.azure import Azure, Clock, Settings
from tests.emulator.rules.replicas import Lag
from tests.emulator.rules.sdk import container, create, item, query

SQL = "SELECT VALUE c.number FROM c WHERE c.group = 0 ORDER BY c.number"
LAG = 2


@asynccontextmanager
async def lagging(url: str, azure: Azure) -> AsyncIterator[ContainerProxy]:
    """A container with five items, of which a replica lacks the newest."""
    async with container(url, azure.rules) as things:
        await create(things, [item(number) for number in range(1, 6)])
        yield things


def forget_token(things: ContainerProxy) -> None:
    """Let the client forget its session tokens."""
    session: Any = things.client_connection.session
    session.session_container.rid_to_session_token.clear()


async def test_read_with_the_token_of_a_write_is_refused_by_a_replica_that_lags(emulator_url: str) -> None:
    """The refusal is 404 with sub-status 1002. The replica has caught up when the read is sent again."""
    azure = Azure(Settings(lag=Lag(writes=LAG)))
    async with lagging(emulator_url, azure) as things:
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await query(things, SQL, group=0)
        results = [await query(things, SQL, group=0) for _ in range(4)]

    assert (404, 1002, 1) == (refusal.value.status_code, refusal.value.sub_status, azure.replicas.refusals)
    assert [[1, 2, 3, 4, 5]] * 4 == results


async def test_read_without_a_token_sees_a_replica_that_lags(emulator_url: str) -> None:
    """A reader that forgets its token misses what it has written itself."""
    azure = Azure(Settings(lag=Lag(writes=LAG)))
    async with lagging(emulator_url, azure) as things:
        results = list[object]()
        for _ in range(3):
            forget_token(things)
            results.append(await query(things, SQL, group=0))

    assert [[1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3]] == results
    assert 2 == azure.replicas.stale_reads


async def test_sdk_forgets_its_tokens_after_two_refusals(emulator_url: str) -> None:
    """With endpoint discovery, the SDK (4.17.1) repeats the read once, and then deletes the tokens of a container.

    The next read has no token and sees the replica. A token that the caller gives is sent again.
    """
    azure = Azure(Settings(lag=Lag(writes=LAG, turns=(False, True, True, True), tries=4)))
    results = list[object]()
    async with container(emulator_url, azure.rules, discovery=True) as things:
        await create(things, [item(number) for number in range(1, 6)])
        results.append(await query(things, SQL, group=0))
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await query(things, SQL, group=0)
        results.append(await query(things, SQL, group=0))

    assert (1002, 2) == (refusal.value.sub_status, azure.replicas.refusals)
    assert [[1, 2, 3, 4, 5], [1, 2, 3]] == results


async def test_read_gives_the_token_for_the_next_one(emulator_url: str) -> None:
    """A reader that has seen a document sees it again, also on the replica that lags."""
    azure = Azure(Settings(lag=Lag(writes=LAG)))
    async with lagging(emulator_url, azure) as things:
        forget_token(things)
        results = [await query(things, SQL, group=0), await query(things, SQL, group=0)]
        with pytest.raises(CosmosHttpResponseError):
            await query(things, SQL, group=0)
        results.append(await query(things, SQL, group=0))

    assert [[1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]] == results


async def test_replica_catches_up_after_the_time_of_its_lag(emulator_url: str) -> None:
    """A lag by time is the same for every write."""
    clock = Clock()
    azure = Azure(Settings(lag=Lag(writes=100, seconds=60)), clock=clock)
    async with lagging(emulator_url, azure) as things:
        results = list[object]()
        for ahead in (0, 0, 61):
            clock.ahead = ahead
            forget_token(things)
            results.append(await query(things, SQL, group=0))

    assert [[], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]] == results


async def test_replica_has_the_old_version_of_a_document(emulator_url: str) -> None:
    """A replacement by the tag of a version that is no longer the newest is refused with 412."""
    azure = Azure(Settings(lag=Lag(writes=1)))
    async with container(emulator_url, azure.rules) as things:
        first = await things.create_item(item(1, text="first"))
        second = await things.upsert_item(item(1, text="second"))
        forget_token(things)
        stale = await things.read_item("0001", 0)
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await things.replace_item(
                "0001", item(1), etag=stale["_etag"], match_condition=MatchConditions.IfNotModified
            )
        await things.replace_item("0001", item(1), etag=second["_etag"], match_condition=MatchConditions.IfNotModified)

    assert {**first, "_ts": 0} == {**stale, "_ts": 0}
    assert 412 == refusal.value.status_code


async def test_deleted_document_is_still_on_a_replica_that_lags(emulator_url: str) -> None:
    """A deletion is a write like others."""
    azure = Azure(Settings(lag=Lag(writes=1)))
    async with lagging(emulator_url, azure) as things:
        await things.delete_item("0005", 0)
        forget_token(things)
        results = [await query(things, SQL, group=0), await query(things, SQL, group=0)]

    assert [[1, 2, 3, 4, 5], [1, 2, 3, 4]] == results


async def test_token_of_a_partition_is_valid_after_its_split(emulator_url: str) -> None:
    """The numbers of writes continue from the parent's."""
    azure = Azure(Settings(partitions=2, lag=Lag(writes=LAG)))
    async with lagging(emulator_url, azure) as things:
        azure.account.split("things")
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await query(things, SQL, group=0)
        results = [await query(things, SQL, group=0) for _ in range(3)]

    assert 1002 == refusal.value.sub_status
    assert [[1, 2, 3, 4, 5]] * 3 == results
