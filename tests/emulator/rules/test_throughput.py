"""Throughput of physical partitions, and charges."""

import pytest
from azure.cosmos.exceptions import CosmosHttpResponseError

from tests.emulator.rules.account import Account
from tests.emulator.rules.azure import Azure, Settings
from tests.emulator.rules.sdk import container, create, item, query
from tests.emulator.rules.throughput import Throughput, index_terms


class StoppedClock:
    """A clock that a test sets (s)."""

    now = 100.25

    def __call__(self) -> float:
        """Return the time."""
        return self.now


async def test_partition_beyond_its_budget_refuses_with_429_until_the_next_second(emulator_url: str) -> None:
    """The refusal says when to send the request again: what is used beyond the budget is paid from the next seconds."""
    clock = StoppedClock()
    async with container(emulator_url, [Throughput(Account(), clock, units_a_second=10)]) as things:
        await create(things, [item(1), item(2)])
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await things.create_item(item(3))
        clock.now += 0.75
        await things.create_item(item(3))

    error = refusal.value
    assert (429, 3200, "750") == (error.status_code, error.sub_status, error.headers["x-ms-retry-after-ms"])


async def test_partition_within_its_budget_serves_while_another_is_beyond_it(emulator_url: str) -> None:
    """Throughput is divided over physical partitions: a busy one cannot use the others'."""
    azure = Azure(Settings(partitions=2, units_a_second=10), clock=StoppedClock())
    async with container(emulator_url, azure.rules) as things:
        await create(things, [item(1, group=0), item(2, group=0)])
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await things.create_item(item(3, group=0))
        # Its hash is in the other half.
        await things.create_item(item(3, group=1))
        with pytest.raises(CosmosHttpResponseError) as refusal_of_all:
            await query(things, "SELECT * FROM c")

    assert (429, 429) == (refusal.value.status_code, refusal_of_all.value.status_code)


async def test_charge_follows_the_kind_and_the_bytes(emulator_url: str) -> None:
    """By Microsoft's table, 1, 4 and 64 KB cost 1, 1.3 and 10 units to read, and 5, 7 and 48 to write.

    A replacement costs twice as much.
    """
    policy = {"includedPaths": [{"path": "/number/?"}], "excludedPaths": [{"path": "/*"}]}
    charges = list[float]()
    rules = [Throughput(Account(), StoppedClock())]
    async with container(emulator_url, rules, indexing_policy=policy) as things:
        for kb in (1, 4, 64):
            text = "x" * (1024 * kb - 60)
            written = await things.create_item(item(kb, text=text))
            read = await things.read_item(f"{kb:04d}", 0)
            charges += [float(each.get_response_headers()["x-ms-request-charge"]) for each in (written, read)]
        replaced = await things.upsert_item(item(1))

    assert pytest.approx([5.2, 1, 7.2, 1.5, 48, 10], abs=0.3) == charges
    assert 10.4 == float(replaced.get_response_headers()["x-ms-request-charge"])


def test_index_terms_count_each_value_of_an_array() -> None:
    """A path that a document lacks has no term, and a composite index has one."""
    policy = {
        "includedPaths": [{"path": "/apps/[]/?"}, {"path": "/last/?"}, {"path": "/none/?"}],
        "compositeIndexes": [[{"path": "/time"}, {"path": "/last"}]],
    }

    assert 5 == index_terms({"apps": ["a", "b", "c"], "last": 1, "time": 2, "events": "x"}, policy)
