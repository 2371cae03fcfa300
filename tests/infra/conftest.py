"""The runs that policies look at, each made once in a process."""

import os

import pytest

# A value that is not known yet must not end up as text about itself. Pulumi reads it when it is first imported.
os.environ["PULUMI_ERROR_OUTPUT_STRING"] = "1"

from tests.infra.recording import Recording, recorded


@pytest.fixture(scope="session")
def dev() -> Recording:
    """The cheap one."""
    return recorded("dev")


@pytest.fixture(scope="session")
def prod() -> Recording:
    """The one for real users."""
    return recorded("prod")


@pytest.fixture(scope="session", params=["dev", "prod"])
def recording(request: pytest.FixtureRequest) -> Recording:
    """Either."""
    return recorded(str(request.param))
