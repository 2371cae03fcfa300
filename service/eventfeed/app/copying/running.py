"""Access of a copy to both of its stores."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from eventfeed.app.backup import require_ready_for_import
from eventfeed.app.copying.entries import CopyRefusedError
from eventfeed.app.copying.log_copy import LogCopy
from eventfeed.app.copying.records_copy import RecordCounts, copy_records
from eventfeed.app.store import Store
from eventfeed.log.sqlite.backup import require_log
from eventfeed.settings import Cosmos, Settings
from eventfeed.telemetry.telemetry import Telemetry


class StoreCopy:
    """A copy of a store: its log, then its records."""

    def __init__(self, source: Store, target: Store) -> None:
        self.log = LogCopy(source.log, target.log)
        self._source, self._target = source, target

    async def copy_records(self) -> RecordCounts | None:
        """Copy approvals and the audit log; None if the source has none. See `copy_records`."""
        return await copy_records(self._source.records, self._target.records) if self._source.has_records else None


@contextlib.asynccontextmanager
async def open_copy(source: Settings, target: Settings) -> AsyncIterator[StoreCopy]:
    """Open both stores, the source without a change to it; create the target if there is none.

    No service may run on a target in SQLite.
    """
    if _address(source) == _address(target):
        raise CopyRefusedError("SOURCE and TARGET are the same store.")
    if source.cosmos is None and source.sqlite_path.exists():
        require_log(source.sqlite_path)
    require_ready_for_import(target)
    from_store, to_store = Store(source, Telemetry()), Store(target, Telemetry(), for_import=True)
    async with from_store.open_to_read(), to_store.open(create=True):
        yield StoreCopy(from_store, to_store)


def _address(settings: Settings) -> Cosmos | Path:
    return settings.cosmos or settings.sqlite_path.resolve()
