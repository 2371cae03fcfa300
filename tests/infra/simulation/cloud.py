"""An Azure subscription in memory: what is there, and what it refuses whatever the resource's type.

Ids are compared without regard to case, as Azure does.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.infra.simulation.catalog import SUBSCRIPTION, Kind, parent
from tests.infra.simulation.wire import Properties

_REFERENCE = re.compile(r"/subscriptions/[^\s\"',;|<>)\\]+")
# What Azure itself has defined: a role by its number, and a place of Azure's own tree.
_BUILT_IN_ROLE = re.compile(r"/subscriptions/[^/]+/providers/Microsoft\.Authorization/roleDefinitions/[0-9a-f-]{36}")
# What is in a Cosmos DB account without being made: its two built-in roles; and its data's own tree of names.
_DATA_ROLE = re.compile(r"(.+)/sqlRoleDefinitions/00000000-0000-0000-0000-00000000000[12]")
_DATA = re.compile(r"(.+/databaseAccounts/[^/]+)/dbs/([^/]+)(?:/colls/([^/]+))?")

_SECRET = "Microsoft.KeyVault/vaults/secrets"
_LOCK, _LOCK_WITHIN = "Microsoft.Authorization/locks", "/providers/Microsoft.Authorization/locks/"


class Refused(Exception):  # noqa: N818  # the cloud's answer
    """What was asked cannot be done; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A resource that is there: its id, type, what it was given (in the clear), what it gives, and brings with it."""

    id: str
    kind: Kind
    given: Properties
    outputs: Properties
    # The ids of what is in it without being made for itself.
    brings: frozenset[str] = frozenset()


class Cloud:
    """The subscription's resources by id."""

    def __init__(self) -> None:
        self._there = dict[str, Stored]()
        # The names of deleted vaults: with purge protection nobody may have them for months.
        self._kept_names = set[str]()

    @property
    def ids(self) -> set[str]:
        """The id of each resource that is there."""
        return {stored.id for stored in self._there.values()}

    def of_type(self, arm: str) -> list[Stored]:
        """The resources of one type."""
        return [stored for stored in self._there.values() if stored.kind.arm == arm]

    def find(self, address: str) -> Stored | None:
        """The resource with this id."""
        return self._there.get(address.casefold())

    def create(self, stored: Stored) -> None:
        """Keep a new resource. Raises `Refused` when it is there, its place is not, or it names what is not."""
        if self.find(stored.id):
            raise Refused(f"{stored.id} is there already")
        above = parent(stored.id)
        if not self._exists(above):
            raise Refused(f"{stored.id} has no parent: {above} is not there")
        if stored.kind.worldwide and self._taken(stored):
            raise Refused(f"the name of {stored.id} is taken: it must be the only one in the world")
        self._keep(stored)

    def update(self, stored: Stored) -> None:
        """Put a changed resource into its place. Raises `Refused` when it is not there or names what is not."""
        if not self.find(stored.id):
            raise Refused(f"{stored.id} is not there, so it cannot be changed")
        self._keep(stored)

    def delete(self, address: str) -> None:
        """Take a resource away. Raises `Refused` while something is in it or names it, or a lock holds it.

        A vault takes its secrets along; one alone is deleted by another way than Azure's management, which whoever
        deploys need not have.
        """
        stored = self.find(address)
        if not stored:
            raise Refused(f"{address} is not there, so it cannot be deleted")
        if stored.kind.arm == _SECRET:
            raise Refused(f"{address} cannot be deleted but from within its vault")
        self._require_unlocked(stored)
        along = {other.id for other in self.of_type(_SECRET) if _within(other.id, address)}
        for other in self._there.values():
            if other.id in {stored.id, *along}:
                continue
            if _within(other.id, address):
                raise Refused(f"{address} cannot be deleted: {other.id} is in it")
            if any(_within(named, address) for named in references(other.given)):
                raise Refused(f"{address} cannot be deleted: {other.id} names it")
        if stored.kind.arm == "Microsoft.KeyVault/vaults":
            self._kept_names.add(_last(address))
        for gone in {address, *along}:
            del self._there[gone.casefold()]

    def _require_unlocked(self, stored: Stored) -> None:
        """A lock holds all that lies under what it is put on, but no lock."""
        for lock in self.of_type(_LOCK):
            if stored.kind.arm != _LOCK and _within(stored.id, lock.id.rpartition(_LOCK_WITHIN)[0]):
                raise Refused(f"{stored.id} cannot be deleted: {lock.id} holds it (ScopeLocked)")

    def _keep(self, stored: Stored) -> None:
        for named in references(stored.given):
            if not self._exists(named):
                raise Refused(f"{stored.id} names {named}, which is not there")
        self._there[stored.id.casefold()] = stored

    def _exists(self, address: str) -> bool:
        if self.find(address) or address.casefold() == SUBSCRIPTION or _BUILT_IN_ROLE.fullmatch(address):
            return True
        if role := _DATA_ROLE.fullmatch(address):
            return self.find(role[1]) is not None
        if data := _DATA.fullmatch(address):
            container = f"/containers/{data[3]}" if data[3] else ""
            return self.find(f"{data[1]}/sqlDatabases/{data[2]}{container}") is not None
        return any(address.casefold() in stored.brings for stored in self._there.values())

    def _taken(self, stored: Stored) -> bool:
        names = {_last(other.id) for other in self.of_type(stored.kind.arm)} | self._kept_names
        return _last(stored.id) in names


def references(value: Any) -> Iterator[str]:
    """Every id that is named anywhere in a value, inside a text as well."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from references(key)
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)
    elif isinstance(value, str):
        yield from (found.rstrip("/.") for found in _REFERENCE.findall(value))


def _within(address: str, above: str) -> bool:
    return f"{address}/".casefold().startswith(f"{above}/".casefold())


def _last(address: str) -> str:
    return address.rpartition("/")[2].casefold()
