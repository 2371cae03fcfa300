"""A service and an app name for tests that change no setting, and the plug-in of schemathesis."""

import importlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulator.running import emulator
from tests.support.platform_issuer import PlatformIssuer, platform_issuer
from tests.support.service import RunningService, running_service


def pytest_configure(config: pytest.Config) -> None:
    """Load the plug-in here: it takes half a second, and other tests do without it."""
    config.pluginmanager.register(importlib.import_module("schemathesis.pytest.plugin"))


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that all tests share. Each test uses an app of its own."""
    # All tests have the same address, so its rate limit must be high.
    with running_service(tmp_path_factory.mktemp("served"), EVENTFEED_ADDRESS_REQUESTS="1000000") as running:
        yield running


@pytest.fixture(scope="module")
def issuer() -> Iterator[PlatformIssuer]:
    """The platform's issuer of tokens."""
    with platform_issuer() as running:
        yield running


@pytest.fixture(scope="module")
def account() -> Iterator[str]:
    """The host of an emulator; "" if there is none."""
    with emulator() as url:
        yield url.removeprefix("http://").rstrip("/")


@pytest.fixture(params=["sqlite", "cosmos"])
def new_store(request: pytest.FixtureRequest, account: str, tmp_path: Path) -> str:
    """The address of a store of each engine that does not exist yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/log.db"
    if not account:
        pytest.skip("there is no emulator: `make test` installs it")
    return f"cosmos://{account}/{uuid.uuid4().hex}"


@pytest.fixture
def app() -> str:
    """The name of an app that no other test uses."""
    # The name has letters only: the service would mask eleven digits in a row, like a person number.
    return f"app-{uuid.uuid4().hex[:12].translate(str.maketrans('0123456789', 'ghijklmnop'))}"
