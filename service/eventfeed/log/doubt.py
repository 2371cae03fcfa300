"""An append with an unknown outcome, and what its publishers are told."""

import asyncio
from collections.abc import Callable

from eventfeed.domain.errors import NotDone, OutcomeUnknown, TailMoved, Unavailable

# Time for an unknown outcome (s) before the publishers that wait get 503, and new ones at once.
DOUBT_SECONDS_MAX = 1.0


class Doubt:
    """The doubt about the entries that are being appended. `failure` began it, None without one.

    A later failure of the same entries does not end it, even if nothing was done then: an earlier request may still
    arrive. `is_long` is true once it has lasted for `DOUBT_SECONDS_MAX`; then `on_long` is called with a failure for
    the publishers of the entries.
    """

    def __init__(self, on_long: Callable[[Unavailable], None]) -> None:
        self._on_long = on_long
        self._timer: asyncio.TimerHandle | None = None
        self.failure: Unavailable | None = None
        self.is_long = False

    def note(self, failure: Unavailable) -> None:
        """Note a failed append. Raises the failure if nothing was done, and no earlier request may arrive."""
        if self.failure is not None or isinstance(failure, TailMoved):
            return
        if isinstance(failure, NotDone):
            raise failure
        self.failure = failure
        self._timer = asyncio.get_running_loop().call_later(DOUBT_SECONDS_MAX, self._grow_long)

    def end(self) -> None:
        """Note that the outcome is known, or that the time of the batch is up."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.failure, self.is_long = None, None, False

    def _grow_long(self) -> None:
        self.is_long = True
        if self.failure is not None:
            self._on_long(explain(self.failure, may_be_stored=True))


def explain(failure: Unavailable, *, may_be_stored: bool) -> Unavailable:
    """Return a failure of a batch for its publishers: with what is known of their events."""
    seconds = failure.retry_seconds
    if may_be_stored:
        return OutcomeUnknown(f"{failure} Events may be stored. Repeating the publish is safe.", retry_seconds=seconds)
    kind = type(failure) if isinstance(failure, NotDone) else NotDone
    return kind(f"{failure} Nothing was written.", retry_seconds=seconds)


def without_turn() -> NotDone:
    """Return the failure of a publish that comes during a long doubt about earlier ones."""
    return NotDone("The store has not confirmed earlier events yet. Nothing was written.", retry_seconds=2)
