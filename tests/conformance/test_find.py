"""Finding: what the log knows of events that someone wants to publish."""

import msgspec

from eventfeed.domain.event import App
from eventfeed.domain.ports import EventLog, Lookup, StoredEvent
from tests.support.events import TTD, entry, event


async def test_a_stored_identity_is_known_by_place_and_content(log: EventLog) -> None:
    """A second publish is compared with where and what the first was, and which try wrote it."""
    stored, other = event("a"), event("b")
    await log.append([entry(1, of=stored, write_id="try")], after=0)
    known = StoredEvent(sequence=1, time=1_000_000, content=b"a", write_id="try")

    assert Lookup(identities={stored.identity: known}, owners={}) == await log.find([stored, other])


async def test_the_same_id_of_another_source_is_another_identity(log: EventLog) -> None:
    """`source` and `id` identify together."""
    await log.append([entry(1, of=event("a", instance=1))], after=0)

    assert {} == (await log.find([event("a", instance=2)])).identities


async def test_an_instance_belongs_to_the_app_that_published_it_first(log: EventLog) -> None:
    """Later entries of another app do not change whose an instance is."""
    thief = App(org="skd", name="tyveri")
    await log.append([entry(1, of=event(instance=7)), entry(2, of=event(instance=7, app=thief))], after=0)
    found = await log.find([event(instance=7, app=thief)])

    assert [TTD] == list(found.owners.values())


async def test_of_one_identity_sent_twice_each_instance_is_looked_up(log: EventLog) -> None:
    """The second names no instance: the first must be told whose its own is all the same."""
    await log.append([entry(1, of=event(instance=7))], after=0)
    first = event("twice", instance=7, app=App(org="skd", name="tyveri"))
    found = await log.find([first, msgspec.structs.replace(first, instance=None)])

    assert [TTD] == list(found.owners.values())
