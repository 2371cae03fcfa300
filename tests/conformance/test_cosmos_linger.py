"""The linger time of Cosmos DB: in proportion to the request units of the last lookup."""

import re

import pytest

from eventfeed.log.cosmos.log import LINGER_SECONDS
from tests.emulator.fault_proxy import Network, network_to
from tests.emulator.running import open_log_through
from tests.support.events import event

_CHARGE = re.compile(rb"(?i)(\r\nx-ms-request-charge: *)[0-9.]+")


class ChargingNetwork(Network):
    """A network to a store whose requests each have the charge `units`."""

    def __init__(self, base: Network, *, units: float) -> None:
        super().__init__(base.host, base.port, base.rate, base.rng)
        self.units = units

    def on_response(self, request: bytes, response: bytes) -> bytes:  # noqa: ARG002  # all requests
        """See `Network.on_response`."""
        return _CHARGE.sub(rb"\g<1>%g" % self.units, response)


@pytest.mark.parametrize(
    ("units", "seconds"),
    [(1, 0.005), (7.5, 0.0375), (1_000, LINGER_SECONDS)],
    ids=["emulator", "three partitions", "many partitions"],
)
async def test_linger_time_follows_the_charge_of_the_last_lookup(
    emulator_url: str, units: float, seconds: float
) -> None:
    """A larger commit saves lookups, each of which asks every partition. Only the lookup of identities counts."""
    network = ChargingNetwork(network_to(emulator_url), units=units)
    async with open_log_through(network, emulator_url, segment_entries=100) as log:
        await log.head()
        before = log.linger_seconds_max
        await log.find([event(instance=1)])

    assert 0 == before
    assert seconds == pytest.approx(log.linger_seconds_max)
