"""Limits of single requests."""

from typing import Any

import pytest
from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError

from tests.emulator.fault_proxy import network_to
from tests.emulator.rules.account import Account
from tests.emulator.rules.limits import Limits, find_no_missing_document
from tests.emulator.rules.sdk import container, item
from tests.emulator.running import KEY, serve, skip_without_emulator

KB = 1024
INVALID: dict[str, tuple[dict[str, Any], int]] = {
    "2 MB": (item(1, text="x" * 2048 * KB), 413),
    "id of 1,024 bytes": ({**item(1), "id": "x" * 1024}, 400),
    "id of 512 letters of two bytes": ({**item(1), "id": "ø" * 512}, 400),
    "partition key of 2,049 bytes": ({**item(1), "group": "x" * 2049}, 400),
}


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("name", INVALID)
async def test_item_beyond_a_limit_is_refused(emulator_url: str, name: str) -> None:
    """The emulator alone accepts all of them."""
    invalid, status = INVALID[name]
    async with container(emulator_url, [Limits(Account())]) as things:
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await things.create_item(invalid)

    assert status == refusal.value.status_code


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_item_within_the_limits_is_written(emulator_url: str) -> None:
    """An item just below 2 MB, with the longest id."""
    largest = {**item(1, text="x" * 2046 * KB), "id": "x" * 1023}
    async with container(emulator_url, [Limits(Account())]) as things:
        response = await things.create_item(largest)

    assert largest["id"] == response["id"]


async def test_batch_of_another_partition_key_is_refused_with_400(emulator_url: str) -> None:
    """The partition key in the document is not the one of the request: sub-status 1001."""
    async with container(emulator_url, [Limits(Account())]) as things:
        client: Any = things.client_connection
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await client.CreateItem(things.container_link, item(1, group=1), options={"partitionKey": 2})

    assert (400, 1001) == (refusal.value.status_code, refusal.value.sub_status)


async def test_batch_of_101_operations_is_refused_with_400(emulator_url: str) -> None:
    """A batch has at most 100 operations."""
    async with container(emulator_url, [Limits(Account())]) as things:
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await things.execute_item_batch([("create", (item(number),)) for number in range(101)], 0)

    assert 400 == refusal.value.status_code


@pytest.mark.parametrize("throughput", [100, 450])
async def test_throughput_that_azure_does_not_sell_is_refused(emulator_url: str, throughput: int) -> None:
    """A container has at least 400 request units a second, in steps of 100."""
    skip_without_emulator(emulator_url)
    network = network_to(emulator_url)
    network.rules = [Limits(Account())]
    async with serve(network) as url, CosmosClient(url, KEY, enable_endpoint_discovery=False) as client:
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await client.create_database(f"throughput-{throughput}", offer_throughput=throughput)

    assert 400 == refusal.value.status_code


async def test_read_of_a_missing_item_is_404(emulator_url: str) -> None:
    """The emulator alone responds with 500."""
    async with container(emulator_url, [find_no_missing_document]) as things:
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await things.read_item("missing", 0)

    assert 404 == refusal.value.status_code
