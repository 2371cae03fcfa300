"""Fixtures of all tests."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of asynchronous tests: the service runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def emulator_url() -> Iterator[str]:
    """The address of a Cosmos DB emulator, "" on a machine without one."""
    from tests.emulator.running import emulator  # noqa: PLC0415  # it loads Azure's SDK, which few tests need

    with emulator() as url:
        yield url
