"""The store deletes by age, whether the floor has been moved or not; and what a log is that has lost its end.

The emulator has no time to live, so the entries are deleted here.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from msgspec.structs import replace

from eventfeed.domain.errors import LogDamaged
from eventfeed.log.cosmos import database as cosmos_client
from eventfeed.log.cosmos.containers import EVENTS
from eventfeed.log.cosmos.database import Database
from eventfeed.log.cosmos.documents import document_id
from eventfeed.log.cosmos.log import CosmosLog
from tests.emulator.running import database
from tests.support.engines import new_name
from tests.support.events import entries, entry

SEGMENT_ENTRIES = 10
LOG = entries(1, 23)


@pytest.fixture
async def store(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A log of 23 entries in three segments, whose floor has not been moved."""
    if not emulator_url:
        pytest.skip("there is no emulator: `make test` installs it")
    monkeypatch.setattr(cosmos_client, "BEHIND_SECONDS", 0.0)
    async with database(emulator_url) as made:
        log = await another(made)
        await log.append(LOG, after=0)
        yield made


async def another(store: Database) -> CosmosLog:
    """An engine that has seen nothing yet."""
    log = CosmosLog(store, new_name=new_name, segment_entries=SEGMENT_ENTRIES)
    await log.open()
    return log


async def delete(store: Database, first: int, last: int) -> None:
    """What the store does to entries of that age."""
    for position in range(first, last + 1):
        await store.container(EVENTS).delete_item(document_id(position), position // SEGMENT_ENTRIES)


VERBS: dict[str, Callable[[CosmosLog], Awaitable[object]]] = {
    "seek the beginning": lambda log: log.seek(0),
    "seek what is left": lambda log: log.seek(LOG[21].time),
    "find": lambda log: log.find([LOG[21].event]),
    "append": lambda log: log.append([entry(24)], after=23),
    "expire": lambda log: log.expire(before=LOG[20].time),
}


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("seen", [True, False], ids=["seen before", "not seen before"])
async def test_what_the_store_has_deleted_is_not_waited_for(store: Database, name: str, *, seen: bool) -> None:
    """Not a whole segment, nor the one before the newest, whose end would prove a replica."""
    log = await another(store)
    await log.head()
    if seen:
        await log.seek(LOG[0].time)
        await log.seek(LOG[14].time)
    await delete(store, 1, 19)
    before = await VERBS[name](log)
    head = await log.head()

    assert head.end_offset == (24 if name == "append" else 23)
    assert before == {"seek the beginning": 19, "seek what is left": 21, "expire": 20}.get(name, before)
    assert ["find"] != [name] or {LOG[21].event.identity} == set(before.identities)  # type: ignore[attr-defined]


@pytest.mark.parametrize("left", [20, 9, 0])
async def test_a_log_that_has_lost_its_end_is_a_new_one_or_none(store: Database, left: int) -> None:
    """It refuses to go on, until somebody says that it begins anew with what is left."""
    await delete(store, left + 1, 23)
    damaged = await another(store)
    await damaged._manifest.change("expire", lambda record: replace(record, position=23))
    with pytest.raises(LogDamaged, match="23"):
        await damaged.head()
    name = await (await another(store)).rename()
    log = await another(store)
    await log.append([entry(left + 1)], after=left)
    head = await log.head()

    assert (name, 0, left + 1) == (head.log, head.log_start, head.end_offset)
