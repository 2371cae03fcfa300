"""Fixtures for the lifecycles on Pulumi's engine. Each is computed once in a session."""

import pytest

from tests.infra.pulumi_engine.lifecycle import Lifecycle, run_lifecycle
from tests.infra.pulumi_engine.project import TOOLS
from tests.infra.session_cache import SessionCache

_COMPUTATIONS = tuple((["pulumi engine", stack], lambda stack=stack: run_lifecycle(stack)) for stack in ("prod", "dev"))


def require_engine() -> None:
    """Skip the test when the engine is not built."""
    if not (TOOLS / ".built").exists():
        pytest.skip("Pulumi's engine is not built: `make engine` builds it")


def compute(cache: SessionCache, stack: str) -> Lifecycle:
    """Return the lifecycle of a stack. A process that waits for one computes the other."""
    require_engine()
    return cache.get(["pulumi engine", stack], lambda: run_lifecycle(stack), meanwhile=_COMPUTATIONS)


@pytest.fixture(scope="session", params=["dev", "prod"])
def lifecycle(request: pytest.FixtureRequest, session_cache: SessionCache) -> Lifecycle:
    """The lifecycle of each stack."""
    return compute(session_cache, str(request.param))


@pytest.fixture(scope="session")
def prod_lifecycle(session_cache: SessionCache) -> Lifecycle:
    """The lifecycle of the production stack."""
    return compute(session_cache, "prod")
