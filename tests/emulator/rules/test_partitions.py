"""Physical partitions: queries over all of them, plans, and splits."""

import asyncio

import pytest
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

from tests.emulator.fault_proxy import network_to
from tests.emulator.rules.azure import Azure, Settings
from tests.emulator.rules.partitions import COMPLETING_MIGRATION, COMPLETING_SPLIT, RANGE_IS_GONE
from tests.emulator.rules.sdk import NAME, container, create, item, page_sizes, query

PARTITIONS = 3
ITEMS = [item(number, group=number % 6) for number in range(30)]
NUMBERS = list(range(30))


async def fill(things: ContainerProxy) -> None:
    """Create the items, in groups that are on different partitions."""
    await asyncio.gather(*(things.create_item(each) for each in ITEMS))


async def test_query_over_all_partitions_has_a_page_for_each(emulator_url: str) -> None:
    """A page can be empty: a partition without results has one too."""
    azure, network = Azure(Settings(partitions=PARTITIONS)), network_to(emulator_url)
    async with container(emulator_url, azure.rules, network=network) as things:
        await fill(things)
        items = await query(things, "SELECT * FROM c WHERE c.number >= 0")
        before = network.requests.total()
        nothing = await query(things, "SELECT * FROM c WHERE c.number > @last", last=100)
        requests = network.requests.total() - before
        sizes = await page_sizes(things, "SELECT * FROM c", max_item_count=4)

    assert (NUMBERS, [], PARTITIONS) == (sorted(each["number"] for each in items), nothing, requests)
    assert (30, 4) == (sum(sizes), max(sizes))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT VALUE c.number FROM c ORDER BY c.number DESC", NUMBERS[::-1]),
        ("SELECT TOP @count c.number FROM c WHERE c.number > 4 ORDER BY c.number", [{"number": 5}, {"number": 6}]),
    ],
    ids=["order", "top and order"],
)
async def test_query_with_an_order_is_served_by_its_plan(emulator_url: str, sql: str, expected: object) -> None:
    """The gateway refuses it with 400 and 1004. The SDK gets the plan, and asks each partition: 2 more requests."""
    azure, network = Azure(Settings(partitions=PARTITIONS)), network_to(emulator_url)
    async with container(emulator_url, azure.rules, network=network) as things:
        await fill(things)
        await query(things, sql, count=2)
        before = network.requests.total()
        results = await query(things, sql, count=2)
        requests = network.requests.total() - before

    assert (expected, 2 + PARTITIONS) == (results, requests)


async def test_query_with_top_and_no_order_has_the_results_of_the_first_partitions(emulator_url: str) -> None:
    """They are not the lowest ones: a query for the first results needs an order."""
    async with container(emulator_url, Azure(Settings(partitions=PARTITIONS)).rules) as things:
        await fill(things)
        results = await query(things, "SELECT TOP 6 VALUE c.number FROM c")

    assert 6 == len(results)
    assert NUMBERS[:6] != sorted(results)


async def test_query_continues_after_a_split(emulator_url: str) -> None:
    """The SDK asks for a range that is gone, gets 410 and 1002, and reads the ranges again.

    Version 4.17.1 asks the partitions that were not split twice, so it returns their results twice.
    """
    azure = Azure(Settings(partitions=PARTITIONS))
    sql = "SELECT VALUE c.number FROM c ORDER BY c.number"
    async with container(emulator_url, azure.rules) as things:
        await fill(things)
        before = await query(things, sql)
        azure.account.split(NAME)
        after = await query(things, sql)
        await things.create_item(item(30, group=2))
        group = await query(things, "SELECT VALUE c.number FROM c WHERE c.group = 2 ORDER BY c.number", group=2)

    assert NUMBERS == before == sorted(set(after))
    assert after == sorted(after)
    assert [2, 8, 14, 20, 26, 30] == group


@pytest.mark.parametrize("substatus", [RANGE_IS_GONE, COMPLETING_SPLIT, COMPLETING_MIGRATION])
async def test_write_during_a_split_is_refused_with_410(emulator_url: str, substatus: int) -> None:
    """The SDK gives the error to its caller, and the next try succeeds."""
    azure = Azure()
    async with container(emulator_url, azure.rules) as things:
        azure.partitions.refusals = [substatus]
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await things.create_item(item(1))
        await create(things, [item(1)])

    assert (410, substatus) == (refusal.value.status_code, refusal.value.sub_status)


async def test_items_have_no_member_of_the_rules(emulator_url: str) -> None:
    """The SDK sees no member that the rules add for the emulator."""
    async with container(emulator_url, Azure().rules) as things:
        created = await things.create_item(item(1))
        (queried,) = await query(things, "SELECT * FROM c WHERE c.group = 0", group=0)

    assert dict(created) == dict(queried)
    assert {*item(1), "_etag", "_rid", "_self", "_ts"} == set(created)
