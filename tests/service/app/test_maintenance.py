"""Maintenance of a store that fails: a line for each change, not a traceback a minute."""

import asyncio
import logging

import pytest

from eventfeed.app import maintenance as module
from eventfeed.app.maintenance import Maintenance
from eventfeed.domain.errors import NotDone, StoreAway, Unavailable
from eventfeed.log.retention import Retention
from tests.support.engines import ManualClock, open_sqlite_log, running_appender


class FailingRetention(Retention):
    """A retention whose deletion fails with `failure`, if there is one. `deletions` counts them, `repeat` is set."""

    failure: Exception | None = None
    deletions = 0

    async def delete(self) -> None:
        """Fail, or do nothing."""
        self.deletions += 1
        if self.failure is not None:
            raise self.failure

    async def wait(self) -> None:
        """Wait for two more deletions."""
        enough = self.deletions + 2
        for _ in range(100_000):
            if self.deletions >= enough:
                return
            await asyncio.sleep(0.001)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, bool]]:
    """The log lines about maintenance, each with True if it has a traceback."""
    records = [each for each in caplog.records if each.getMessage().startswith("maintenance")]
    return [(each.getMessage(), each.exc_info is not None) for each in records]


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (StoreAway("It is away."), []),
        (NotDone("status 403"), [("maintenance of the store is delayed: status 403", False)]),
        (Unavailable("It is slow."), [("maintenance of the store is delayed: It is slow.", False)]),
    ],
)
async def test_failure_of_the_store_is_logged_once_until_a_success(
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    line: list[tuple[str, bool]],
) -> None:
    """The absence of the store has a line of its own already. A defect still has its traceback."""
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.0)
    clock = ManualClock()
    async with (
        open_sqlite_log(tmp_path_factory.mktemp("log") / "log.db") as log,
        running_appender(log, clock=clock) as (appender, tail),
    ):
        retention = FailingRetention(log, clock=clock, keep=10**15)
        work = Maintenance(tail, retention, appender=appender, costs=None, reference=None)
        with caplog.at_level(logging.INFO):
            async with work.run():
                for retention.failure in (failure, None, failure, None, ValueError("defect")):
                    await retention.wait()
    defects = [each for each in lines(caplog) if each[1]]

    assert 2 * line == [each for each in lines(caplog) if not each[1]]
    assert len(defects) >= 1
