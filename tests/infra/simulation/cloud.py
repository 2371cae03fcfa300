"""An Azure subscription in memory: its resources, and the rules that apply to every resource type.

Resource ids are compared case-insensitively, as in Azure.
"""

import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.infra.simulation.catalog import SUBSCRIPTION, ResourceType, parent_id
from tests.infra.simulation.wire import Properties

_ID = re.compile(r"/subscriptions/[^\s\"',;|<>)\\]+")
# Ids that exist without being created: Azure's built-in roles, Cosmos DB's two built-in roles, and its data paths.
_BUILT_IN_ROLE = re.compile(r"/subscriptions/[^/]+/providers/Microsoft\.Authorization/roleDefinitions/[0-9a-f-]{36}")
_DATA_ROLE = re.compile(r"(.+)/sqlRoleDefinitions/00000000-0000-0000-0000-00000000000[12]")
_DATA_PATH = re.compile(r"(.+/databaseAccounts/[^/]+)/dbs/([^/]+)(?:/colls/([^/]+))?")

_SECRET, _VAULT = "Microsoft.KeyVault/vaults/secrets", "Microsoft.KeyVault/vaults"
_SUBNET = "Microsoft.Network/virtualNetworks/subnets"
_LOCK, _LOCK_SUFFIX = "Microsoft.Authorization/locks", "/providers/Microsoft.Authorization/locks/"


class RejectedError(Exception):
    """The operation is not allowed; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudResource:
    """A resource in the cloud: its id and type, its inputs without secret marks, and its outputs."""

    id: str
    type: ResourceType
    inputs: Properties
    outputs: Properties
    # The ids, in lower case, of children that exist without being created themselves.
    implicit_children: frozenset[str] = frozenset()


class Cloud:
    """The subscription's resources by id. Safe to use from several threads."""

    def __init__(self, resources: Iterable[CloudResource] = (), *, keeps_links: bool = False) -> None:
        self._lock = threading.RLock()
        # The CNAME records of public DNS: the name that each name points to.
        self.dns = dict[str, str]()
        # Delegated subnets whose user was deleted: Azure keeps a link to it for a while, if `keeps_links` is set.
        self._keeps_links = keeps_links
        self._links = set[str]()
        self._resources = {each.id.casefold(): each for each in resources}
        # The names of deleted vaults: purge protection reserves them for months.
        self._reserved_names = set[str]()

    @property
    def ids(self) -> set[str]:
        """The ids of all resources."""
        with self._lock:
            return {resource.id for resource in self._resources.values()}

    def of_type(self, arm_name: str) -> list[CloudResource]:
        """Return the resources of a type."""
        with self._lock:
            return [resource for resource in self._resources.values() if resource.type.arm_name == arm_name]

    def find(self, resource_id: str) -> CloudResource | None:
        """Return the resource with this id; None when it does not exist."""
        with self._lock:
            return self._resources.get(resource_id.casefold())

    def is_name_free(self, resource_type: ResourceType, name: str) -> bool:
        """Return True if no resource of the type has the name, and no deleted one reserves it."""
        names = {_name(other.id) for other in self.of_type(resource_type.arm_name)}
        return name.casefold() not in names | self._reserved_names

    def create(self, resource: CloudResource) -> None:
        """Add a resource. Raises `RejectedError` when it already exists, or its parent or a reference does not."""
        with self._lock:
            if self.find(resource.id):
                raise RejectedError(f"{resource.id} already exists")
            parent = parent_id(resource.id)
            if not self._exists(parent):
                raise RejectedError(f"{resource.id} has no parent: {parent} does not exist")
            if resource.type.has_global_name and not self.is_name_free(resource.type, _name(resource.id)):
                raise RejectedError(f"the name of {resource.id} is not available: it must be unique in all of Azure")
            self._store(resource)

    def update(self, resource: CloudResource) -> None:
        """Replace a resource. Raises `RejectedError` when it or a reference of it does not exist."""
        with self._lock:
            if not self.find(resource.id):
                raise RejectedError(f"{resource.id} does not exist, so it cannot be updated")
            self._store(resource)

    def delete(self, resource_id: str) -> None:
        """Delete a resource. Raises `RejectedError` while it has children, references to it, or a lock.

        The secrets of a vault are deleted with it. A secret alone cannot be deleted: that takes data-plane access,
        which a deployment lacks.
        """
        with self._lock:
            resource = self.find(resource_id)
            if not resource:
                raise RejectedError(f"{resource_id} does not exist, so it cannot be deleted")
            if resource.type.arm_name == _SECRET:
                raise RejectedError(f"{resource_id} cannot be deleted without its vault")
            self._require_no_lock(resource)
            self._require_no_link(resource)
            secrets = {secret.id for secret in self.of_type(_SECRET) if _is_within(secret.id, resource_id)}
            self._require_no_dependents(resource_id, {resource.id, *secrets})
            if resource.type.arm_name == _VAULT:
                self._reserved_names.add(_name(resource_id))
            if self._keeps_links and resource.type.arm_name != _SUBNET:
                self._links |= {each.casefold() for each in references(resource.inputs) if self._is_delegated(each)}
            for each in {resource_id, *secrets}:
                del self._resources[each.casefold()]

    def _require_no_lock(self, resource: CloudResource) -> None:
        """Raise `RejectedError` when the resource is under a lock's scope. Locks themselves can be deleted."""
        for lock in self.of_type(_LOCK):
            if resource.type.arm_name != _LOCK and _is_within(resource.id, lock.id.rpartition(_LOCK_SUFFIX)[0]):
                raise RejectedError(f"{resource.id} cannot be deleted: {lock.id} locks it (ScopeLocked)")

    def _require_no_link(self, resource: CloudResource) -> None:
        """Raise `RejectedError` for a subnet with a link. The links are gone at the next attempt."""
        if resource.id.casefold() in self._links:
            self._links.clear()
            message = f"InUseSubnetCannotBeDeleted: {resource.id} is in use by serviceAssociationLinks"
            raise RejectedError(f"{message} (https://github.com/MicrosoftDocs/azure-docs/issues/48902)")

    def _is_delegated(self, resource_id: str) -> bool:
        subnet = self.find(resource_id)
        return subnet is not None and bool(subnet.inputs.get("delegations"))

    def _require_no_dependents(self, resource_id: str, deletions: set[str]) -> None:
        """Raise `RejectedError` when a resource that is not deleted as well is a child or contains a reference."""
        for other in self._resources.values():
            if other.id in deletions:
                continue
            if _is_within(other.id, resource_id):
                raise RejectedError(f"{resource_id} cannot be deleted: {other.id} is a child of it")
            if any(_is_within(reference, resource_id) for reference in references(other.inputs)):
                raise RejectedError(f"{resource_id} cannot be deleted: {other.id} refers to it")

    def _store(self, resource: CloudResource) -> None:
        for reference in references(resource.inputs):
            if not self._exists(reference):
                raise RejectedError(f"{resource.id} refers to {reference}, which does not exist")
        self._resources[resource.id.casefold()] = resource

    def _exists(self, resource_id: str) -> bool:
        if self.find(resource_id) or resource_id.casefold() == SUBSCRIPTION or _BUILT_IN_ROLE.fullmatch(resource_id):
            return True
        if role := _DATA_ROLE.fullmatch(resource_id):
            return self.find(role[1]) is not None
        if data := _DATA_PATH.fullmatch(resource_id):
            container = f"/containers/{data[3]}" if data[3] else ""
            return self.find(f"{data[1]}/sqlDatabases/{data[2]}{container}") is not None
        return any(resource_id.casefold() in resource.implicit_children for resource in self._resources.values())


def references(value: Any) -> Iterator[str]:
    """Yield every resource id in a value, also those that are a part of a text."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from references(key)
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)
    elif isinstance(value, str):
        yield from (resource_id.rstrip("/.") for resource_id in _ID.findall(value))


def _is_within(resource_id: str, ancestor: str) -> bool:
    return f"{resource_id}/".casefold().startswith(f"{ancestor}/".casefold())


def _name(resource_id: str) -> str:
    return resource_id.rpartition("/")[2].casefold()
