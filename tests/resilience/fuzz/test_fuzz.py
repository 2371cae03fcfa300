"""The short form of `make fuzz`."""

from pathlib import Path

from tests.resilience.fuzz.trial import LIMITS, fuzz_application, fuzz_server
from tests.support.service import running_service


async def test_no_mutated_request_is_a_5xx_or_hangs(tmp_path: Path) -> None:
    """In this process, without an HTTP server before it."""
    report = await fuzz_application(tmp_path, seed=22, count=5_000)

    assert [] == report.failures
    assert {200, 400, 401, 404, 405} <= report.statuses.keys()


def test_no_mutated_request_to_a_server_is_a_5xx_or_hangs(tmp_path: Path) -> None:
    """As bytes over a socket, some of which are no HTTP."""
    with running_service(tmp_path, **LIMITS) as service:
        report = fuzz_server(service, seed=22, count=200)

    assert [] == report.failures
    assert {200, 400, 401} <= report.statuses.keys()
