"""Fixtures for the runs of the program under mocks."""

import os

import pytest

# Without this, Pulumi formats an unknown output as a text instead of raising. It is read when Pulumi is imported.
os.environ["PULUMI_ERROR_OUTPUT_STRING"] = "1"

from tests.infra.mock_run import MockRun
from tests.infra.session_cache import SessionCache
from tests.infra.session_runs import SessionRuns
from tests.infra.simulation.stack_files import OPTIONS


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> SessionCache:
    """The results that all processes of this session share."""
    return SessionCache(tmp_path_factory)


@pytest.fixture(scope="session")
def session_runs(session_cache: SessionCache) -> SessionRuns:
    """The runs of this session under mocks."""
    return SessionRuns(session_cache)


@pytest.fixture(scope="session")
def dev(session_runs: SessionRuns) -> MockRun:
    """The run of the development stack."""
    return session_runs.get("dev")


@pytest.fixture(scope="session")
def prod(session_runs: SessionRuns) -> MockRun:
    """The run of the production stack."""
    return session_runs.get("prod")


@pytest.fixture(scope="session", params=["dev", "prod"])
def run(request: pytest.FixtureRequest, session_runs: SessionRuns) -> MockRun:
    """The run of each stack."""
    return session_runs.get(str(request.param))


@pytest.fixture(scope="session")
def options(session_runs: SessionRuns) -> MockRun:
    """The run of the production stack with every optional part."""
    return session_runs.get("prod", OPTIONS)


@pytest.fixture(scope="session", params=["dev", "prod", "options"])
def any_run(request: pytest.FixtureRequest, session_runs: SessionRuns) -> MockRun:
    """The run of each stack, and that of the production stack with every optional part."""
    return session_runs.get("prod", OPTIONS) if request.param == "options" else session_runs.get(str(request.param))
