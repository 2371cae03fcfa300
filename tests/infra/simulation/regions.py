"""The regions of a stack as Azure runs them: the loss of one, failovers, and the events that each region keeps.

A region here is its part of Cosmos DB and of Container Apps. The gateway stays: its tier has one region, and its
loss is not played.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.infra.simulation.cloud import Cloud, CloudResource, RejectedError
from tests.infra.simulation.rules import Write, violations
from tests.infra.simulation.rules.rule import value_at

_BACKENDS = "Microsoft.ApiManagement/service/backends"


class OutageError(Exception):
    """No receipt: no app serves, or the store accepts no write."""


class Receipt(NamedTuple):
    """An event that was acknowledged, by the app of one region and the store's writer in another or the same."""

    event: str
    app: str
    writer: str


class Regions:
    """The regions of the stack in a cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lost = set[str]()
        # The lost regions that the store does without.
        self._offline = set[str]()
        # The events that each region keeps, in order.
        self._copies = dict[str, list[str]]()

    @property
    def order(self) -> Sequence[str]:
        """The regions of the store by failover priority: the first one writes."""
        locations = self._account.inputs["locations"]
        return [each["locationName"] for each in sorted(locations, key=lambda each: each["failoverPriority"])]

    @property
    def events(self) -> Sequence[str]:
        """The events in the region that writes."""
        return self._copies.get(self.order[0], [])

    def publish(self, event: str) -> Receipt:
        """Publish an event through the gateway. Raises `OutageError` without a receipt."""
        app, writer = self._serving_app(), self.order[0]
        others = [each for each in self.order if each != writer]
        if writer in self._lost:
            raise OutageError(f"the store writes in {writer}, which is lost")
        if self._is_strong and (self._lost - self._offline).intersection(others):
            raise OutageError("a write needs every region, and the lost one was not taken out")
        copies = [writer, *(set(others) - self._lost if self._is_strong else [])]
        for region in copies:
            self._copies.setdefault(region, []).append(event)
        return Receipt(event, app, writer)

    def lose(self, region: str, *, noticed: bool = True) -> None:
        """Lose a region. Azure notices it after an hour or more, and with service-managed failover takes it out."""
        self._lost.add(region)
        if noticed and self._has_service_managed_failover:
            self.take_offline(region)

    def take_offline(self, region: str) -> None:
        """Let the store do without a region, also during an outage: `az cosmosdb offline-region`."""
        self._offline.add(region)
        if region == self.order[0]:
            self._write_order([*(each for each in self.order if each != region), region])

    def restore(self, region: str) -> None:
        """Bring a region back. It catches up with the region that writes, and does not write itself."""
        self._lost.remove(region)
        self._offline.discard(region)
        self._copies[region] = list(self.events)

    def fail_over(self, region: str) -> None:
        """Let a region write: `az cosmosdb failover-priority-change`. Azure refuses it during an outage."""
        if self._lost:
            raise RejectedError(f"the failover to {region} needs all regions, and {', '.join(self._lost)} is lost")
        self._write_order([region, *(each for each in self.order if each != region)])

    def update_account(self, **changes: Any) -> None:
        """Change inputs of the store: `az cosmosdb update`. Raises `RejectedError`."""
        account = self._account
        inputs, outputs = ({**each, **changes} for each in (account.inputs, account.outputs))
        write = Write(type=account.type, id=account.id, inputs=inputs, cloud=self._cloud)
        if faults := violations(write):
            raise RejectedError("; ".join(faults))
        self._cloud.update(replace(account, inputs=inputs, outputs=outputs))

    def set_locations(self, regions: Sequence[str]) -> None:
        """Set the regions of the store: `az cosmosdb update --locations`."""
        for each in set(regions) - set(self.order):
            self._copies[each] = list(self.events)
        self._write_order(regions)

    @property
    def _account(self) -> CloudResource:
        (account,) = self._cloud.of_type("Microsoft.DocumentDB/databaseAccounts")
        return account

    @property
    def _is_strong(self) -> bool:
        return bool(value_at(self._account.inputs, "consistencyPolicy.defaultConsistencyLevel") == "Strong")

    @property
    def _has_service_managed_failover(self) -> bool:
        return bool(self._account.inputs["enableAutomaticFailover"])

    def _write_order(self, regions: Sequence[str]) -> None:
        locations = [
            {"locationName": region, "failoverPriority": rank, "isZoneRedundant": True}
            for rank, region in enumerate(regions)
        ]
        self.update_account(locations=locations)

    def _serving_app(self) -> str:
        """Return the region of the app that serves: the first backend of the pool whose region is not lost."""
        for backend in self._backends():
            region = self._region_of(str(backend["url"]))
            if region not in self._lost:
                return region
        raise OutageError("no app serves")

    def _backends(self) -> Sequence[dict[str, Any]]:
        """Return the inputs of the backends that the gateway's policy uses, in the order of their priority."""
        backends = {each.id: each.inputs for each in self._cloud.of_type(_BACKENDS)}
        fragments = self._cloud.of_type("Microsoft.ApiManagement/service/policyFragments")
        (backend,) = (
            each
            for key, each in backends.items()
            if any(f'backend-id="{key.rpartition("/")[2]}"' in str(text.inputs["value"]) for text in fragments)
        )
        members = value_at(backend, "pool.services", [])
        pool = [backends[each["id"]] for each in sorted(members, key=lambda each: each["priority"])]
        return pool or [backend]

    def _region_of(self, url: str) -> str:
        domain = str(urlsplit(url).hostname).partition(".")[2]
        (environment,) = (
            each
            for each in self._cloud.of_type("Microsoft.App/managedEnvironments")
            if each.outputs["defaultDomain"] == domain
        )
        return str(environment.inputs["location"])
