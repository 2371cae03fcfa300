"""A right that is taken away stops showing: the file, the decision and the page, together."""

from pathlib import Path

import msgspec
import pytest

from eventfeed.access import decisions, watched_file
from eventfeed.access.cedar import CedarDecisionPoint, policies_file
from eventfeed.access.decisions import Decisions
from eventfeed.access.local import population_file
from eventfeed.domain.feed import PageRequest, PartyFeed, Query
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from tests.support.engines import opened
from tests.support.events import caller, entries

# For whom the helper may act, and for how long a decision is remembered.
STEPS: list[tuple[list[str], float]] = [(["50000001"], 45.0), ([], 45.0), ([], 0.0), (["50000001"], 0.0)]
QUERY = Query(feed=PartyFeed(subject="/party/50000001", reader=caller(user="1")))


def write(file: Path, *, acts_for: list[str]) -> None:
    """A register in which a helper may act for these parties."""
    kari = {"number": "01838012345", "party": "50000001", "user": "2", "name": "Kari"}
    helper = {"number": "02838012346", "party": "50000002", "user": "1", "name": "Helper", "acts_for": acts_for}
    new = file.with_suffix(".new")
    new.write_bytes(msgspec.json.encode({"organisations": [], "people": [kari, helper]}))
    new.replace(file)


def test_it_is_gone_within_a_minute() -> None:
    """A file's change counts after its look, a decision's after its time, and asking takes its own: together < 60 s."""
    late = watched_file.LOOK_SECONDS + decisions.REMEMBERED_SECONDS + decisions.ANSWER_SECONDS_MAX

    assert late < 60


async def test_a_revoked_right_shows_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the decision is remembered it shows; then it does not, and a right given back shows again."""
    monkeypatch.setattr(watched_file, "LOOK_SECONDS", 0.0)
    register = tmp_path / "register.json"
    write(register, acts_for=["50000001"])
    point = Decisions(CedarDecisionPoint(population_file(register), policies_file(None)))
    seen = list[int]()
    async with opened(tmp_path / "log.db") as log:
        await log.append(entries(1, 3), after=0)
        tail = Tail(log)
        await tail.start()
        reader = Reader(log, tail, retention=Retention(log, clock=lambda: 0, keep=1), decisions=point)
        for acts_for, remembered in STEPS:
            monkeypatch.setattr(decisions, "REMEMBERED_SECONDS", remembered)
            write(register, acts_for=acts_for)
            seen.append(len((await reader.read(PageRequest(query=QUERY, size=9))).entries))

    assert [3, 3, 0, 3] == seen
