"""A revoked right ends reading: tests of file, decision and page together."""

from pathlib import Path

import msgspec
import pytest

from eventfeed.access import decisions, watched_file
from eventfeed.access.cedar import CedarDecisionPoint
from eventfeed.access.decisions import Decisions
from eventfeed.access.local import population_file
from eventfeed.access.policies import policies_file
from eventfeed.domain.feed import party_feed
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.engines import ManualClock, open_sqlite_log
from tests.support.events import caller, entries
from tests.support.reading import read_page

# The parties that the helper may act for, and how many seconds later the page is read.
STEPS: list[tuple[list[str], int]] = [(["50000001"], 0), ([], 0), ([], 45), (["50000001"], 45)]
FEED = party_feed("/party/50000001", caller(user="1"))


def write_register(file: Path, *, acts_for: list[str]) -> None:
    """Write a register in which a helper may act for these parties."""
    kari = {"number": "01838012345", "party": "50000001", "user": "2", "name": "Kari"}
    helper = {"number": "02838012346", "party": "50000002", "user": "1", "name": "Helper", "acts_for": acts_for}
    new = file.with_suffix(".new")
    new.write_bytes(msgspec.json.encode({"organisations": [], "people": [kari, helper]}))
    new.replace(file)


def test_revoked_right_ends_within_a_minute() -> None:
    """The sum of the interval of file checks, the time in the cache and the longest response time is less than 60 s."""
    seconds = watched_file.CHECK_SECONDS + decisions.CACHE_SECONDS + decisions.RESPONSE_SECONDS_MAX

    assert seconds < 60


async def test_page_after_a_revoked_right_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the decision is cached, events are still returned. A right that is restored returns them again."""
    monkeypatch.setattr(watched_file, "CHECK_SECONDS", 0.0)
    register, clock, telemetry = tmp_path / "register.json", ManualClock(0), Telemetry()
    write_register(register, acts_for=["50000001"])
    point = CedarDecisionPoint(population_file(register), policies_file(None))
    cache = Decisions(point, telemetry=telemetry, clock=lambda: clock.now)
    counts = list[int]()
    async with open_sqlite_log(tmp_path / "log.db") as log:
        await log.append(entries(1, 3), after=0)
        tail = Tail(log)
        await tail.start()
        reader = Reader(
            log, tail, retention=Retention(log, clock=ManualClock(0), keep=1), decisions=cache, telemetry=telemetry
        )
        for acts_for, seconds in STEPS:
            clock.now += seconds
            write_register(register, acts_for=acts_for)
            counts.append(len((await read_page(reader, FEED, size=9)).entries))

    assert [3, 3, 0, 3] == counts
