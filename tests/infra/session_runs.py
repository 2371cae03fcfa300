"""The mock runs of a test session. Each is made once, by the first process that needs it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.infra.mock_run import MockRun, run_with_mocks
from tests.infra.mutant_project import Mutation, create_mutant_project
from tests.infra.session_cache import SessionCache


class SessionRuns:
    """The runs by stack, settings and mutation."""

    def __init__(self, cache: SessionCache) -> None:
        self._cache = cache

    def get(self, stack: str, settings: Mapping[str, Any] | None = None, *, name: str | None = None) -> MockRun:
        """Return the run of a stack with these settings changed, and with another name than that of its file."""
        key = ["run", stack, settings, name]
        return self._cache.get(key, lambda: run_with_mocks(stack, settings, name=name))

    def get_mutant(self, mutation: Mutation, settings: Mapping[str, Any] | None = None) -> MockRun:
        """Return the production run of a mutant of the program, with these settings changed."""
        return self._cache.get(["mutant run", mutation, settings], lambda: _run_mutant(mutation, settings))


def _run_mutant(mutation: Mutation, settings: Mapping[str, Any] | None) -> MockRun:
    with tempfile.TemporaryDirectory() as folder:
        return run_with_mocks("prod", settings, project=create_mutant_project(Path(folder), mutation))
