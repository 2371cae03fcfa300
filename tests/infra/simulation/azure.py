"""The fake Azure provider: names made up in Check, places and references checked when something is made."""

import re
import threading
import time
import uuid
from typing import Any

from tests.infra.simulation import computed
from tests.infra.simulation.catalog import Kind, kind
from tests.infra.simulation.cloud import Cloud, Refused, Stored
from tests.infra.simulation.grants import missing_grants
from tests.infra.simulation.provider import Difference, Provider, changed
from tests.infra.simulation.wire import Properties, has_unknown, reveal

# What takes long in Azure takes long here: until nothing else has come for a while. So whoever should wait for it and
# does not is always too early.
_SLOW = {
    "authorization:RoleAssignment",
    "cosmosdb:SqlResourceSqlRoleAssignment",
    "network:PrivateDnsZoneGroup",
}
_QUIET_SECONDS = 0.7
_LOOK_SECONDS = 0.05

# Besides the inputs that name a resource, those that Azure does not let change.
_FIXED = {"*": ("location",), "cosmosdb:SqlResourceSqlContainer": ("resource.partitionKey",)}


class Azure(Provider):
    """Resources of pulumi-azure-native, kept in a cloud in memory."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._came = time.monotonic()

    def check(self, token: str, name: str, *, given: Properties, before: Properties) -> Properties:
        """The inputs with a name: the one it had, or one made from the logical name."""
        self._came = time.monotonic()
        found = _kind(token)
        own = found.names[-1]
        if given.get(own) is not None:
            return given
        if own in before:
            return {**given, own: before[own]}
        return {**given, own: _made_up(found, name)}

    def difference(self, token: str, name: str, *, before: Properties, now: Properties) -> Difference:
        """A resource with another address is another one; so is one of which a fixed input is changed."""
        before, now, found = reveal(before), reveal(now), _kind(token)
        fixed = _FIXED["*"] + _FIXED.get(token.removeprefix("azure-native:"), ())
        replaces = [key for key in found.address_inputs if before.get(key) != now.get(key)]
        inside = [path for path in fixed if _at(before, path) != _at(now, path)]
        # A name that was made up will be another one.
        renamed = bool(replaces) or re.fullmatch(f"{re.escape(name)}[0-9a-f]{{8}}", str(now[found.names[-1]]))
        return Difference(
            changed=changed(before, now), replaces=replaces + inside, same_place=bool(inside and not renamed)
        )

    def create(self, token: str, inputs: Properties, *, preview: bool) -> tuple[str, Properties]:
        """A resource that is new; in a preview what is known of it."""
        found = _kind(token)
        address = _address(found, inputs)
        if preview:
            return "", computed.forecast(found, address, inputs)
        while token.removeprefix("azure-native:") in _SLOW and time.monotonic() - self._came < _QUIET_SECONDS:
            time.sleep(_LOOK_SECONDS)
        stored = self._stored(found, address, inputs)
        with self._lock:
            self._cloud.create(stored)
        return stored.id, stored.outputs

    def update(self, token: str, address: str, *, inputs: Properties, preview: bool) -> Properties:
        """A resource that is changed."""
        found = _kind(token)
        if preview:
            return computed.forecast(found, address, inputs)
        stored = self._stored(found, address, inputs)
        with self._lock:
            self._cloud.update(stored)
        return stored.outputs

    def delete(self, token: str, address: str) -> None:
        """A resource that goes."""
        with self._lock:
            self._cloud.delete(address)

    def _stored(self, found: Kind, address: str, inputs: Properties) -> Stored:
        given = reveal(inputs)
        if has_unknown(given):
            raise Refused(f"{address} is given what is not known")
        with self._lock:
            lacking = missing_grants(self._cloud, found, given)
        if lacking:
            raise Refused(f"{address} is too early: {'; '.join(lacking)}")
        return Stored(
            id=address,
            kind=found,
            given=given,
            outputs=computed.outputs(found, address, inputs),
            brings=computed.brought(found, address, given),
        )


def _kind(token: str) -> Kind:
    found = kind(token)
    if found is None:
        raise Refused(f"{token} is not in the simulation's catalog")
    return found


def _address(found: Kind, inputs: Properties) -> str:
    try:
        return found.address(reveal(inputs))
    except KeyError as lacking:
        raise Refused(f"a {found.arm} without {lacking}") from None


def _made_up(found: Kind, name: str) -> str:
    if found.arm.endswith("/roleAssignments"):
        return str(uuid.uuid4())
    # What is in another resource needs a name only there.
    return name if len(found.names) > 1 else f"{name}{uuid.uuid4().hex[:8]}"


def _at(properties: Properties, path: str) -> Any:
    value: Any = properties
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
