"""Bare handlers behind the service's telemetry, for comparison with its pages."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar
from loadtests.benchmark.bare_handler import create as create_bare

from eventfeed.telemetry.export import exporting
from eventfeed.telemetry.requests import RequestTelemetry
from eventfeed.telemetry.telemetry import Telemetry

_telemetry = Telemetry()


def create() -> RequestTelemetry:
    """Return the bare handlers with telemetry."""
    application: Any = create_bare(lifespan=[_export])
    return RequestTelemetry(application, _telemetry)


@contextlib.asynccontextmanager
async def _export(_: Litestar) -> AsyncIterator[None]:
    with exporting(_telemetry):
        yield
