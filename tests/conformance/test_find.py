"""`EventLog.find`: the identities and owners in the log of events to publish."""

import msgspec

from eventfeed.domain.event import App
from eventfeed.domain.ports import EventLog, Lookup, StoredEvent
from tests.support.events import TTD, entry, event

OTHER_APP = App(org="skd", name="tyveri")


async def test_find_returns_position_and_content_of_an_identity(log: EventLog) -> None:
    """A second publish is compared with the position, the content and the write id of the first."""
    first, other = event("a"), event("b")
    await log.append([entry(1, of=first, write_id="try")], after=0)
    stored_event = StoredEvent(sequence=1, time=1_000_000, content=b"a", write_id="try")

    assert Lookup(identities={first.identity: stored_event}, owners={}) == await log.find([first, other])


async def test_same_id_of_another_source_is_not_found(log: EventLog) -> None:
    """`source` and `id` identify an event together."""
    await log.append([entry(1, of=event("a", instance=1))], after=0)

    assert {} == (await log.find([event("a", instance=2)])).identities


async def test_owner_of_an_instance_is_its_first_publisher(log: EventLog) -> None:
    """Later entries of another app do not change the owner."""
    await log.append([entry(1, of=event(instance=7)), entry(2, of=event(instance=7, app=OTHER_APP))], after=0)
    lookup = await log.find([event(instance=7, app=OTHER_APP)])

    assert [TTD] == list(lookup.owners.values())


async def test_repeated_identity_in_a_batch_finds_each_instance(log: EventLog) -> None:
    """The second event of an identity has no instance. The owner of the first one's instance is found all the same."""
    await log.append([entry(1, of=event(instance=7))], after=0)
    first = event("twice", instance=7, app=OTHER_APP)
    lookup = await log.find([first, msgspec.structs.replace(first, instance=None)])

    assert [TTD] == list(lookup.owners.values())
