"""Each way in which a log like this is usually got wrong, planted in a copy of the service: some test must notice.

`make mutants` runs the list. A mutant whose text is no longer in the code fails: it must move with the code.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.emulator.running import available

ROOT = Path(__file__).parents[3]


class Mutant(NamedTuple):
    """One fault: in which file which text becomes which, and the tests that must notice."""

    file: str
    sound: str
    faulty: str
    tests: str


APPENDER = "tests/service/log/test_appender.py"
CONFORMANCE = "tests/conformance"
MUTANTS = {
    "number taken before commit": Mutant(
        "log/sqlite/log.py",
        "        if head.position != after:\n            raise TailMoved(expected=after, actual=head.position)\n",
        "",
        f"{CONFORMANCE}/test_append.py",
    ),
    "tail moved past an unverified entry": Mutant(
        "log/memory/tail.py",
        "            if entry.sequence != self._head.position + 1:\n",
        "            if False:\n",
        "tests/service/log/memory/test_tail.py",
    ),
    "cursor is the last returned, not the last examined": Mutant(
        "log/reader.py",
        "position=max(start, found.examined))",
        "position=entries[-1].sequence if entries else start)",
        "tests/service/log/test_reader.py",
    ),
    "duplicate check skipped after a lost race": Mutant(
        "log/appender.py",
        "            found = await self._log.find(events)\n",
        "            found = await self._log.find(events if len(marks) == 1 else [])\n",
        APPENDER,
    ),
    "identity checked against another tail than the create's": Mutant(
        "log/appender.py",
        "            settlement = settle(submissions, found)\n",
        "            settlement, pinned = settle(submissions, found), self._tail.head\n",
        APPENDER,
    ),
    "outcome assumed after a time-out": Mutant(
        "log/appender.py",
        "                there = await self._there(after=after, limit=len(entries))\n",
        "                there = entries\n",
        APPENDER,
    ),
    "a retry regrouped": Mutant(
        "log/appender.py",
        "                await patience.wait()\n                continue\n",
        "                await patience.wait()\n                return False\n",
        APPENDER,
    ),
    "the last entry expired": Mutant(
        "log/sqlite/log.py",
        "min(head.position - 1, head.floor + EXPIRE_ENTRIES_MAX)",
        "min(head.position, head.floor + EXPIRE_ENTRIES_MAX)",
        f"{CONFORMANCE}/test_retention.py",
    ),
    "registration time taken from the clock alone": Mutant(
        "log/appender.py",
        "max(self._clock(), pinned.time)",
        "self._clock()",
        APPENDER,
    ),
    "receipt given before the tail shows the event": Mutant(
        "log/appender.py",
        "        if known > self._tail.head.position:\n",
        "        if False:\n",
        APPENDER,
    ),
    "two pages taken for one": Mutant(
        "log/memory/recent_entries.py",
        "run.places[start:stop].tobytes()",
        "run.places[start : stop - 1].tobytes()",
        "tests/service/log/memory/test_recent_entries.py",
    ),
    "entries of another log remembered": Mutant(
        "log/memory/tail.py",
        "if self._forgot.is_set() or (came",
        "if (came",
        "tests/service/log/memory/test_tail.py",
    ),
    "what came while memory filled left out": Mutant(
        "log/memory/tail.py",
        "        for entry in came or ():\n            recent.add(entry, keys_of_event(entry.event))\n",
        "",
        "tests/service/log/memory/test_tail.py",
    ),
    "deletion during a scan unnoticed": Mutant(
        "log/reader.py",
        "        if scan.floor > after:\n",
        "        if False:\n",
        "tests/service/log/test_reader.py",
    ),
    "an early look trusted for a place ahead": Mutant(
        "single_flight.py",
        "        if self._running is not None:\n            await asyncio.shield(self._running)\n",
        "",
        "tests/service/log/memory/test_tail.py",
    ),
    "commit not fsynced": Mutant(
        "log/sqlite/connections.py",
        "PRAGMA synchronous = FULL",
        "PRAGMA synchronous = NORMAL",
        "tests/service/log/sqlite/test_log.py",
    ),
    "Cosmos DB: another writer's entry taken for our own": Mutant(
        "log/cosmos/log.py",
        '                raise TailMoved(expected=first["sequence"] - 1, actual=head.position) from None\n',
        "                continue\n",
        f"{CONFORMANCE}/test_append.py",
    ),
    "Cosmos DB: an entry made where none precedes it": Mutant(
        "log/cosmos/log.py",
        "            if head.position != after:\n                raise TailMoved",
        "            if head.position > after:\n                raise TailMoved",
        f"{CONFORMANCE}/test_append.py",
    ),
    "Cosmos DB: a batch across two segments": Mutant(
        "log/cosmos/log.py",
        '            if batch and (full or document["segment"] != batch[0]["segment"]):\n',
        "            if batch and full:\n",
        f"{CONFORMANCE}/test_cosmos_wire.py",
    ),
    "Cosmos DB: the last entry expired": Mutant(
        "log/cosmos/log.py",
        "head=head), head.position - 1))",
        "head=head), head.position))",
        f"{CONFORMANCE}/test_retention.py",
    ),
    "Cosmos DB: outcome assumed after a time-out": Mutant(
        "log/cosmos/database.py",
        "    if writes:\n        raise OutcomeUnknown",
        "    if not writes:\n        raise OutcomeUnknown",
        "tests/service/log/cosmos/test_database.py",
    ),
    "Cosmos DB: a replica that lags believed": Mutant(
        "log/cosmos/segments.py",
        "        return None\n    entries, weight = list[Entry](), 0\n",
        "        pass\n    entries, weight = list[Entry](), 0\n",
        "tests/service/log/cosmos/test_database.py",
    ),
    "Cosmos DB: the end of a replica that lags believed": Mutant(
        "log/cosmos/segments.py",
        "            return end if end.position >= least else None\n",
        "            return end\n",
        f"{CONFORMANCE}/test_cosmos_consistency.py",
    ),
    "Cosmos DB: an identity that a lagging replica lacks believed new": Mutant(
        "log/cosmos/segments.py",
        "            return documents if whole else None\n",
        "            return documents\n",
        f"{CONFORMANCE}/test_cosmos_consistency.py",
    ),
    "an event shown that its reader may not see": Mutant(
        "log/reader.py",
        "[entry for entry, question in asked if question in allowed]",
        "entries",
        "tests/service/log/test_reader_access.py",
    ),
    "visible events passed unseen when a page is full": Mutant(
        "log/reader.py",
        "                return self.entries[-1].sequence\n            weight",
        "                return examined\n            weight",
        "tests/service/log/test_reader_access.py",
    ),
    "a decision remembered for every level of authentication": Mutant(
        "access/decisions.py",
        "principal.organisation, principal.level, question)",
        "principal.organisation, 4, question)",
        "tests/service/access/test_decisions.py",
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service and its tests, to be spoiled."""
    copied = tmp_path_factory.mktemp("copy")
    for name in ("service", "tests"):
        shutil.copytree(ROOT / name, copied / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copied)
    return copied


def verdict(copied: Path, tests: str, *, engine: str = "") -> int:
    """What pytest says of the copy: 0 when the tests pass, 1 when one fails. `engine` names the only one to test."""
    command = [sys.executable, "-m", "pytest", "-x", "-n", "0", "-p", "no:cacheprovider", "-k", engine, tests]
    environment = {**os.environ, "PYTHONPATH": str(copied / "service"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=copied, env=environment, capture_output=True, check=False).returncode


@pytest.mark.parametrize("tests", sorted({mutant.tests for mutant in MUTANTS.values()}))
def test_the_sound_copy_passes(copy: Path, tests: str) -> None:
    """What kills a mutant says yes to the code as it is."""
    assert 0 == verdict(copy, tests)


# What is planted above the engines must be caught on either.
ABOVE = {APPENDER, "tests/service/log/memory/test_tail.py", "tests/service/log/test_reader.py"}
ON_EITHER = [name for name, mutant in MUTANTS.items() if mutant.tests in ABOVE]


@pytest.mark.parametrize(
    ("name", "engine"), [*((name, "") for name in MUTANTS), *((name, "cosmos") for name in ON_EITHER)]
)
def test_the_mutant_is_killed(copy: Path, name: str, engine: str) -> None:
    """Planted alone, each fault makes one of its tests fail."""
    if engine and not available() and not os.environ.get("CI"):
        pytest.skip("there is no emulator: `make test` installs it")
    mutant = MUTANTS[name]
    file = copy / "service" / "eventfeed" / mutant.file
    sound = file.read_text()
    assert 1 == sound.count(mutant.sound), "the mutant's text must stand once in the code"
    file.write_text(sound.replace(mutant.sound, mutant.faulty))
    try:
        found = verdict(copy, mutant.tests, engine=engine)
    finally:
        file.write_text(sound)

    assert 1 == found
