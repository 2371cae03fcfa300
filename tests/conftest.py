"""Fixtures of all tests."""

import signal
from collections.abc import Iterator

import pytest


def pytest_configure() -> None:
    """Let the commands under test receive interrupts: a shell starts background jobs with SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
