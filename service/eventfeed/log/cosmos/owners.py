"""The owner of each instance: the app that published its first event. One document for each instance."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from cachetools import LRUCache

from eventfeed.domain.errors import LogDamaged
from eventfeed.domain.event import App, Entry
from eventfeed.log.cosmos.database import Calls, Document
from eventfeed.log.cosmos.queries import value_list
from eventfeed.log.cosmos.retry import ConflictError, read_until_current

# Owners that a process remembers: some 8 MB.
OWNERS_MAX = 20_000
# Owners that are written at the same time.
CLAIMS_MAX = 16


class Owner(NamedTuple):
    """An app, the time when it was last written as an owner (µs), and the tag of that version of its document."""

    app: App
    time: int
    etag: str


class _OwnerDocument(msgspec.Struct):
    id: str
    org: str
    app: str
    time: int
    etag: str = msgspec.field(name="_etag", default="")


class OwnerTakenError(Exception):
    """An instance belongs to another app since the batch was planned."""


class Owners:
    """The owners in the store, and those that this process remembers.

    An owner stays for one and a half retentions after it was last written. It is written again with an event of its
    instance when half of the retention `keep` (µs) has passed.
    """

    def __init__(self, calls: Calls, *, now: Callable[[], int], keep: int) -> None:
        self._calls, self._now, self._keep = calls, now, keep
        self._cache = LRUCache[str, Owner](OWNERS_MAX)

    async def find(self, instances: Sequence[str]) -> Mapping[str, App]:
        """Return the owners of these instances that have one."""
        owners = {name: owner for name in instances if (owner := self._remembered(name))}
        if missing := [name for name in instances if name not in owners]:
            for name in missing:  # another app may claim what has expired
                self._cache.pop(name, None)
            owners |= await self._read(missing)
        self._cache.update(owners)
        return {name: owner.app for name, owner in owners.items()}

    async def claim(self, entries: Sequence[Entry]) -> None:
        """Make the app of each instance's first entry its owner, unless it has one; write old owners again.

        Raises `OwnerTakenError` if another app has become the owner of an instance that had none.
        """
        apps = dict[str, App]()
        for entry in entries:
            event = entry.event
            if event.instance is not None and event.app is not None and self._remembered(event.instance) is None:
                apps.setdefault(event.instance, event.app)
        if apps:
            semaphore = asyncio.Semaphore(CLAIMS_MAX)
            claims = (self._claim(name, app, limit=semaphore) for name, app in apps.items())
            results = await asyncio.gather(*claims, return_exceptions=True)
            for failure in results:
                if isinstance(failure, BaseException):
                    raise failure
            if not all(results):
                raise OwnerTakenError

    async def _claim(self, instance: str, app: App, *, limit: asyncio.Semaphore) -> bool:
        """Claim an instance for an app, or write its old owner again. Return False if another app has claimed it.

        An old owner is written only over the version that was read: it may have expired, and another app have come.
        """
        async with limit:
            old, time = self._cache.get(instance), self._now()
            app = app if old is None else old.app
            try:
                etag = await self._write(_document(instance, app, time=time), old)
            except ConflictError:
                owner = await read_until_current(lambda: self._winner(instance))
            else:
                owner = Owner(app, time, etag)
            self._cache[instance] = owner
            return owner.app == app

    async def _write(self, document: Document, old: Owner | None) -> str:
        """Create the document of an owner, or replace the one of the old owner. Return its new tag."""
        if old is None:
            return await self._calls.create("claim", document, idempotent=True)
        return await self._calls.replace("claim", document, etag=old.etag)

    async def _winner(self, instance: str) -> Owner | None:
        return (await self._read([instance])).get(instance)

    async def _read(self, instances: Sequence[str]) -> Mapping[str, Owner]:
        names, values = value_list("instance", instances)
        documents = await self._calls.query(
            "owners",
            f"SELECT c.id, c.org, c.app, c.time, c._etag FROM c WHERE c.id IN ({names})",  # noqa: S608  # parameters
            values=values,
        )
        try:
            owners = msgspec.convert(documents, list[_OwnerDocument])
        except msgspec.ValidationError as error:
            raise LogDamaged(f"The owner of an instance is malformed: {error}.") from None
        return {each.id: Owner(App(org=each.org, name=each.app), each.time, each.etag) for each in owners}

    def _remembered(self, instance: str) -> Owner | None:
        """Return the owner that this process remembers, unless it must be read and written again."""
        owner = self._cache.get(instance)
        return owner if owner is not None and owner.time >= self._now() - self._keep // 2 else None


def _document(instance: str, app: App, *, time: int) -> Document:
    return {"id": instance, "org": app.org, "app": app.name, "time": time}
