"""Pages of a query."""

from tests.emulator.rules.pages import Pages
from tests.emulator.rules.sdk import container, create, item, page_sizes, query

SQL = "SELECT * FROM c WHERE c.group = 0 ORDER BY c.number"


async def test_page_has_100_items_without_another_number(emulator_url: str) -> None:
    """The SDK asks for no number, and follows the continuations."""
    async with container(emulator_url, [Pages()]) as things:
        await create(things, [item(number) for number in range(205)])
        sizes = await page_sizes(things, SQL, partition_key=0)
        larger_sizes = await page_sizes(things, SQL, partition_key=0, max_item_count=200)
        items = await query(things, SQL, group=0)

    assert ([100, 100, 5], [200, 5]) == (sizes, larger_sizes)
    assert list(range(205)) == [each["number"] for each in items]


async def test_page_has_at_most_4_mb(emulator_url: str) -> None:
    """A page ends before the item that does not fit, whatever number the request asks for."""
    async with container(emulator_url, [Pages(bytes_max=10_000)]) as things:
        await create(things, [item(number, text="x" * 2_900) for number in range(7)])
        sizes = await page_sizes(things, SQL, partition_key=0, max_item_count=1_000)
        unlimited_sizes = await page_sizes(things, SQL, partition_key=0, max_item_count=-1)
        items = await query(things, SQL, group=0)

    assert [3, 3, 1] == sizes == unlimited_sizes
    assert list(range(7)) == [each["number"] for each in items]
