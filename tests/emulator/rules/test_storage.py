"""The size of a logical partition."""

import pytest
from azure.cosmos.exceptions import CosmosHttpResponseError

from tests.emulator.rules.sdk import container, create, item
from tests.emulator.rules.storage import Storage


async def test_full_partition_refuses_writes_with_403_and_others_do_not(emulator_url: str) -> None:
    """A write that would pass the limit is refused with sub-status 1014, until documents are deleted."""
    async with container(emulator_url, [Storage(bytes_max=3_000)]) as things:
        await create(things, [item(1, text="x" * 1_400), item(2, text="x" * 1_400)])
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await things.create_item(item(3, text="x" * 1_400))
        await things.create_item(item(3, group=1, text="x" * 1_400))
        await things.delete_item("0001", 0)
        await things.create_item(item(3, text="x" * 1_400))

    assert (403, 1014) == (refusal.value.status_code, refusal.value.sub_status)
