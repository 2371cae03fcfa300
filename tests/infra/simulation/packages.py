"""The simulated providers of the packages that the program uses, on one cloud."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.infra.simulation.azure import AzureProvider
from tests.infra.simulation.cloud import Cloud
from tests.infra.simulation.provider import provider_servers
from tests.infra.simulation.tls_and_random import RandomProvider, TlsProvider


@contextmanager
def served_packages(cloud: Cloud) -> Iterator[Mapping[str, str]]:
    """Serve the providers of all packages. Yields the address of each package."""
    providers = {"azure-native": AzureProvider(cloud), "tls": TlsProvider(), "random": RandomProvider()}
    with provider_servers(providers) as addresses:
        yield addresses


def attachment(addresses: Mapping[str, str]) -> str:
    """Return the value of PULUMI_DEBUG_PROVIDERS by which an engine attaches to the providers at these addresses."""
    return ",".join(f"{package}:{address.rpartition(':')[2]}" for package, address in addresses.items())
