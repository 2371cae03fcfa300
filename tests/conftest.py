"""What every test has."""

from collections.abc import Iterator

import pytest

from tests.emulator.running import emulator


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(scope="session")
def emulator_url() -> Iterator[str]:
    """A Cosmos DB emulator; "" on a laptop that has none."""
    with emulator() as url:
        yield url
