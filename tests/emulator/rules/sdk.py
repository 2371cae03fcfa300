"""A container behind rules, as the SDK sees it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient

from tests.emulator.fault_proxy import Network, network_to
from tests.emulator.messages import Rule
from tests.emulator.running import KEY, serve, skip_without_emulator

NAME = "things"
Item = dict[str, Any]


@asynccontextmanager
async def container(
    url: str, rules: Sequence[Rule], *, network: Network | None = None, discovery: bool = False, **properties: Any
) -> AsyncIterator[ContainerProxy]:
    """Create a container with the partition key `group` behind rules, while the block lasts.

    The SDK sends every request once, and with endpoint discovery some of them twice.
    """
    skip_without_emulator(url)
    network = network or network_to(url)
    network.rules = rules
    options: dict[str, Any] = {"enable_endpoint_discovery": discovery, "retry_total": 0, "retry_throttle_total": -1}
    async with serve(network) as network_url, CosmosClient(network_url, KEY, **options) as client:
        database = await client.create_database(f"rules-{uuid4().hex}")
        yield await database.create_container(NAME, PartitionKey("/group", version=2), **properties)


def item(number: int, *, group: int = 0, **members: object) -> Item:
    """Return an item of a group, with a number."""
    return {"id": f"{number:04d}", "group": group, "number": number, **members}


async def create(things: ContainerProxy, items: Sequence[Item]) -> None:
    """Create items, one after another."""
    for each in items:
        await things.create_item(each)


async def query(things: ContainerProxy, sql: str, *, group: int | None = None, **values: object) -> Sequence[Any]:
    """Return the results of a query, of one group or of all."""
    scope: Mapping[str, Any] = {} if group is None else {"partition_key": group}
    parameters: list[dict[str, object]] = [{"name": f"@{name}", "value": value} for name, value in values.items()]
    return [each async for each in things.query_items(sql, parameters=parameters, **scope)]


async def page_sizes(things: ContainerProxy, sql: str, **options: Any) -> Sequence[int]:
    """Return the number of items of each page of a query."""
    pages = things.query_items(sql, **options).by_page()
    return [len([each async for each in page]) async for page in pages]
