"""One service for the tests that only talk to it."""

import uuid
from collections.abc import Iterator

import pytest

from tests.support.service import Served, serving


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with an empty log, shared: each test works in an app of its own."""
    # All tests are one caller.
    with serving(tmp_path_factory.mktemp("served"), EVENTFEED_ADDRESS_REQUESTS="1000000") as running:
        yield running


@pytest.fixture
def app() -> str:
    """The name of an app that no other test uses."""
    # Letters alone: eleven digits in a row would be taken for a person's number, and masked.
    return f"app-{uuid.uuid4().hex[:12].translate(str.maketrans('0123456789', 'ghijklmnop'))}"
