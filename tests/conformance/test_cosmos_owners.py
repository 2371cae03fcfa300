"""Owners of instances on Cosmos DB: claimed by one app, whatever the processes do, and kept while events come."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from eventfeed.domain.errors import ForeignSource, NotDone, OutcomeUnknown, TailMoved
from eventfeed.domain.event import App
from eventfeed.log.appender import Appender
from eventfeed.log.cosmos import owners as owners_module
from eventfeed.log.cosmos.containers import OWNERS
from eventfeed.log.cosmos.database import Calls, Database
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.log.cosmos.owners import Owners, OwnerTakenError
from tests.emulator.running import KEEP_SECONDS, new_database, open_database, open_log, skip_without_emulator
from tests.support.engines import running_appender
from tests.support.events import TTD, entry, event, submission

SEGMENT_ENTRIES = 100
KEEP = KEEP_SECONDS * 1_000_000
APPS = [TTD, App(org="skd", name="tyveri")]


@pytest.fixture
async def database(emulator_url: str) -> AsyncIterator[Database]:
    """An empty database."""
    skip_without_emulator(emulator_url)
    async with new_database(emulator_url) as database:
        yield database


@pytest.fixture
async def processes(database: Database, emulator_url: str) -> AsyncIterator[list[tuple[CosmosLog, Appender]]]:
    """Two processes with a client, an engine and an appender of their own."""
    async with AsyncExitStack() as stack:
        result = list[tuple[CosmosLog, Appender]]()
        for _ in APPS:
            client = await stack.enter_async_context(open_database(emulator_url, database.name))
            log = await open_log(client, segment_entries=SEGMENT_ENTRIES)
            appender, _ = await stack.enter_async_context(running_appender(log, clock=client.clock))
            result.append((log, appender))
        yield result


async def test_one_of_two_apps_gets_an_instance(processes: list[tuple[CosmosLog, Appender]]) -> None:
    """Two processes publish the first events of the same instances for two apps: each instance has one owner."""
    rounds = 12
    for instance in range(1, rounds + 1):
        outcomes = await asyncio.gather(
            *(
                appender.publish(submission(event(instance=instance, app=app)))
                for (_, appender), app in zip(processes, APPS, strict=True)
            ),
            return_exceptions=True,
        )
        refusals = [isinstance(each, ForeignSource) for each in outcomes]
        winner = APPS[refusals.index(False)]
        for log, _ in processes:
            lookup = await log.find([event(instance=instance)])
            assert [winner] == list(lookup.owners.values())

        assert [False, True] == sorted(refusals), outcomes


async def test_admin_publishes_on_an_instance_of_another_app(processes: list[tuple[CosmosLog, Appender]]) -> None:
    """The owner stays the same."""
    (log, owner), (_, admin) = processes
    await owner.publish(submission(event(instance=1)))
    (receipt,) = await admin.publish(submission(event(instance=1, app=APPS[1]), admin=True))
    lookup = await log.find([event(instance=1)])

    assert (2, [TTD]) == (receipt.sequence, list(lookup.owners.values()))


async def test_racing_admin_and_app_both_publish(processes: list[tuple[CosmosLog, Appender]]) -> None:
    """The admin's batch is planned again after a lost claim, and written; a lost app is refused."""
    for instance in range(1, 9):
        (_, app), (_, admin) = processes
        outcomes = await asyncio.gather(
            app.publish(submission(event(instance=instance))),
            admin.publish(submission(event(instance=instance, app=APPS[1]), admin=True)),
            return_exceptions=True,
        )

        assert not isinstance(outcomes[1], BaseException)
        assert not isinstance(outcomes[0], BaseException) or isinstance(outcomes[0], ForeignSource)


async def test_lost_claim_writes_nothing(database: Database) -> None:
    """The batch must be planned again, so the first attempt leaves no entry."""
    logs = [await open_log(database, segment_entries=SEGMENT_ENTRIES) for _ in APPS]
    await logs[0].append([entry(1, of=event(instance=1))], after=0)
    await logs[1].find([event()])
    with pytest.raises(TailMoved):
        await logs[1].append([entry(2, of=event(instance=1, app=APPS[1]))], after=1)
    head = await logs[1].head()
    lookup = await logs[1].find([event(instance=1)])

    assert 1 == head.end_offset
    assert [TTD] == list(lookup.owners.values())


class OwnersAt(Owners):
    """The owners of a process whose time `now` (µs) the test sets."""

    def __init__(self, database: Database) -> None:
        self.now, self.calls = KEEP, Calls(database, OWNERS)
        super().__init__(self.calls, now=lambda: self.now, keep=KEEP)


@pytest.mark.parametrize(
    ("days", "writes"), [(44, 0), (46, 1)], ids=["before half of the retention", "after half of the retention"]
)
async def test_owner_is_written_again_after_half_of_the_retention(database: Database, days: int, writes: int) -> None:
    """So it does not expire while events of its instance come."""
    owners, first = OwnersAt(database), event(instance=1)
    await owners.claim([entry(1, of=first)])
    owners.now += days * KEEP // 90
    owner_by_instance = await owners.find([first.instance or ""])
    before = database.costs["claim"].requests
    for sequence in (2, 3):
        await owners.claim([entry(sequence, of=event(instance=1))])
    (document,) = await owners.calls.query("owners", "SELECT * FROM c", values={})

    assert [TTD] == list(owner_by_instance.values())
    assert writes == database.costs["claim"].requests - before
    assert ("ttd", "bolig", owners.now if writes else KEEP) == (document["org"], document["app"], document["time"])


async def test_owner_that_has_expired_can_be_claimed_by_another_app(database: Database) -> None:
    """A process that remembers the old owner reads it again before it writes it."""
    owners, other_owners = OwnersAt(database), OwnersAt(database)
    first = event(instance=1)
    name = first.instance or ""
    await owners.claim([entry(1, of=first)])
    owners.now = other_owners.now = 3 * KEEP
    await database.container(OWNERS).delete_item(name, name)
    nobody = await owners.find([name])
    await other_owners.claim([entry(2, of=event(instance=1, app=APPS[1]))])
    with pytest.raises(OwnerTakenError):
        await owners.claim([entry(2, of=first)])

    assert {} == nobody
    assert {name: APPS[1]} == await owners.find([name])


@pytest.mark.parametrize("app", APPS, ids=str)
async def test_old_owner_is_written_again_only_over_the_version_that_was_read(database: Database, app: App) -> None:
    """Another process has written it again, or has claimed the instance for another app after it expired."""
    owners, other_owners, first = OwnersAt(database), OwnersAt(database), event(instance=1)
    name = first.instance or ""
    await owners.claim([entry(1, of=first)])
    owners.now = other_owners.now = KEEP + KEEP * 46 // 90
    await owners.find([name])
    await database.container(OWNERS).delete_item(name, name)
    await other_owners.claim([entry(2, of=event(instance=1, app=app))])
    owners.now += 1
    with contextlib.nullcontext() if app == TTD else pytest.raises(OwnerTakenError):
        await owners.claim([entry(3, of=first)])
    (document,) = await owners.calls.query("owners", "SELECT * FROM c", values={})

    assert (app.name, other_owners.now) == (document["app"], document["time"])
    assert {name: app} == await owners.find([name])


async def test_process_remembers_a_bounded_number_of_owners(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are read again."""
    monkeypatch.setattr(owners_module, "OWNERS_MAX", 3)
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    batch = [entry(number, of=event(instance=number)) for number in range(1, 9)]
    await log.append(batch, after=0)
    lookup = await log.find([event(instance=number) for number in range(1, 9)])

    assert 3 == len(log._owners._cache)
    assert 8 == len(lookup.owners)


async def test_append_without_a_clear_claim_is_not_done(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome of the claim is unknown, but no commit was sent: the writer need not look it up."""
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)

    async def claim(*_: object) -> None:
        raise OutcomeUnknown("The store did not confirm the write.", retry_seconds=3)

    monkeypatch.setattr(log._owners, "claim", claim)
    with pytest.raises(NotDone) as failure:
        await log.append([entry(1)], after=0)

    assert (3, 0) == (failure.value.retry_seconds, (await log.head()).end_offset)
