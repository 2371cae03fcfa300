"""What a page is measured against behind the same telemetry: bare handlers, watched and sending as the service does."""

import contextlib
from collections.abc import AsyncIterator

from litestar import Litestar
from loadtests.benchmark.bare_handler import create as bare

from eventfeed.telemetry.export import exporting
from eventfeed.telemetry.requests import Observed


def create() -> Observed:
    """The bare handlers, observed."""
    return Observed(bare(lifespan=[_exporting]))


@contextlib.asynccontextmanager
async def _exporting(_: Litestar) -> AsyncIterator[None]:
    with exporting():
        yield
