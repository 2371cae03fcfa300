"""Mutation tests: frequent mistakes in a log, each made in a copy of the service. A test must fail on each.

`make mutants` runs the list. If the text of a mutant is no longer in the code, its test fails: adapt the mutant.
"""

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.emulator.running import is_available

ROOT = Path(__file__).parents[3]


class Mutant(NamedTuple):
    """A mistake: the file, the correct text, the text that replaces it, and the tests that must fail."""

    file: str
    original: str
    replacement: str
    tests: str


APPENDER = "tests/service/log/test_appender.py"
APPEND_NEW = "tests/service/log/sqlite/test_append_new.py"
CONFORMANCE = "tests/conformance"
# The beginning of an append of new events on SQLite.
TRANSACTION = "        with transaction(db, writes=True):\n"
MUTANTS = {
    "append without a check of the tail": Mutant(
        "log/sqlite/log.py",
        "        if head.end_offset != after:\n            raise TailMoved(expected=after, actual=head.end_offset)\n",
        "",
        f"{CONFORMANCE}/test_append.py",
    ),
    "tail moved past an unverified entry": Mutant(
        "log/memory/tail.py",
        "            if entry.sequence != self.head.end_offset + 1:\n",
        "            if False:\n",
        "tests/service/log/memory/test_tail.py",
    ),
    "cursor at the last returned entry instead of the last examined one": Mutant(
        "log/reader.py",
        "        end = max(start, scan.examined)\n",
        "        end = scan.entries[-1].sequence if scan.entries else start\n",
        "tests/service/log/test_reader.py",
    ),
    "cursor accepted without a check of its proof": Mutant(
        "log/reader.py",
        '    if present.proof not in ("", cursor.proof):\n',
        "    if False:\n",
        "tests/service/log/test_reader.py",
    ),
    "no duplicate check after a lost race": Mutant(
        "log/batch.py",
        "plan_batch(self._submissions, lookup), max(",
        "plan_batch(self._submissions, lookup if len(self._write_ids) < 2 else Lookup(identities={}, owners={})), max(",
        APPENDER,
    ),
    "identity checked before the transaction of the append": Mutant(
        "log/sqlite/log.py",
        f"{TRANSACTION}            head = _head(db)\n            if head.end_offset < tail",
        "        early, make = find_identities(db, [event.identity for event in events]).events, plan\n"
        "        plan = lambda lookup, end: make(Lookup(identities=early, owners=lookup.owners), end)\n"
        f"{TRANSACTION}            head = _head(db)\n            if head.end_offset < tail",
        APPEND_NEW,
    ),
    "numbered before the transaction": Mutant(
        "log/sqlite/log.py",
        "plan(_lookup(db, events, matches=matches.events), head)",
        "plan(_lookup(db, events, matches=matches.events), tail)",
        APPEND_NEW,
    ),
    "identity compared by its short key alone": Mutant(
        "log/sqlite/rows.py",
        "        if row[0] in later:\n            events[later[row[0]]] = _stored_event(row)\n",
        "        identity = next(each for digest, each in later.items() if digest[:8] == row[0][:8])\n"
        "        events[identity] = _stored_event(row)\n",
        APPEND_NEW,
    ),
    "identity compared by its id alone": Mutant(
        "log/sqlite/rows.py", "        if row[_SOURCE] == identity.source:\n", "        if True:\n", APPEND_NEW
    ),
    "no digest of an entry that repeats an id of its batch": Mutant(
        "log/sqlite/rows.py", "        ids.add(id_)\n", "", APPEND_NEW
    ),
    "no digest of an entry that repeats the id of a stored one": Mutant(
        "log/sqlite/rows.py", "set(stored_ids), list", "set(), list", APPEND_NEW
    ),
    "written without the lock between processes": Mutant(
        "log/sqlite/connections.py",
        "with db.lock.hold(seconds=BUSY_MILLISECONDS / 1_000) if writes else nullcontext():",
        "with nullcontext():",
        "tests/service/log/sqlite/test_writer_lock.py",
    ),
    "a lock kept after the wait for it has ended": Mutant(
        "log/sqlite/writer_lock.py",
        "                if not self._is_wanted:\n",
        "                if False:\n",
        "tests/service/log/sqlite/test_writer_lock.py",
    ),
    "appended to a log that ends before the tail": Mutant(
        "log/sqlite/log.py",
        "            if head.end_offset < tail.end_offset:\n",
        "            if False:\n",
        APPEND_NEW,
    ),
    "Cosmos DB: identity checked against another tail than the append's": Mutant(
        "log/cosmos/log.py",
        "        if entries := plan(await self.find(events), tail):\n",
        "        lookup = await self.find(events)\n        tail = await self.head()\n"
        "        if entries := plan(lookup, tail):\n",
        f"{CONFORMANCE}/test_append_new.py",
    ),
    "success assumed after a timeout": Mutant(
        "log/appender.py",
        "                actual = await self._read_positions(after=batch.after, limit=len(batch.rest))\n",
        "                actual = batch.rest\n",
        APPENDER,
    ),
    "a retry with other submissions": Mutant(
        "log/appender.py",
        "                await budget.wait(reason=self._doubt.failure)\n",
        "                await budget.wait(reason=self._doubt.failure)\n                return False\n",
        APPENDER,
    ),
    "a doubt ended by a refusal of the retry": Mutant(
        "log/doubt.py",
        "if self.failure is not None or isinstance(failure, TailMoved):",
        "if isinstance(failure, TailMoved):",
        "tests/service/log/test_doubt.py",
    ),
    "a doubt kept after it is resolved": Mutant(
        "log/appender.py",
        "            self._doubt.end()  # another",
        "            pass  # another",
        "tests/service/log/test_doubt.py",
    ),
    "nothing written said of events that may be stored": Mutant(
        "log/appender.py",
        "may_be_stored = batch.is_partly_in or self._doubt.failure is not None",
        "may_be_stored = False",
        "tests/service/log/test_doubt.py",
    ),
    "the last entry expired": Mutant(
        "log/sqlite/log.py",
        "min(head.end_offset - 1, head.log_start + EXPIRE_ENTRIES_MAX)",
        "min(head.end_offset, head.log_start + EXPIRE_ENTRIES_MAX)",
        f"{CONFORMANCE}/test_expire.py",
    ),
    "registration time from the clock alone": Mutant(
        "log/batch.py",
        "max(self._clock.wall() // 1_000, end.time)",
        "self._clock.wall() // 1_000",
        APPENDER,
    ),
    "append by a wrong clock": Mutant(
        "log/batch.py",
        "        self._clock.require_accurate()\n",
        "",
        APPENDER,
    ),
    "deletion by a wrong clock": Mutant(
        "log/retention.py",
        "        if not self._clock.is_accurate:\n",
        "        if False:\n",
        "tests/service/log/test_retention.py",
    ),
    "deletion by one reading of the clock": Mutant(
        "log/retention.py",
        "if self._clock.steady_time >= CONFIRM_TIME * 1_000:",
        "if True:",
        "tests/service/log/test_retention.py",
    ),
    "receipt sent before the tail has the event": Mutant(
        "log/memory/tail.py",
        "        if position > self.head.end_offset:\n",
        "        if False:\n",
        APPENDER,
    ),
    "equal positions for two different pages": Mutant(
        "log/memory/recent_entries.py",
        "run.positions[start:stop].tobytes()",
        "run.positions[start : stop - 1].tobytes()",
        "tests/service/log/memory/test_recent_entries.py",
    ),
    "entries of another log kept in memory": Mutant(
        "log/memory/tail.py",
        "if self._needs_filling.is_set() or (newer is None",
        "if (newer is None",
        "tests/service/log/memory/test_tail.py",
    ),
    "entries that arrive while memory fills omitted": Mutant(
        "log/memory/tail.py",
        "        for entry in newer or ():\n            recent.add(entry)\n",
        "",
        "tests/service/log/memory/test_tail.py",
    ),
    "deletion during a scan not detected": Mutant(
        "log/reader.py",
        "        if scan.log_start > after:\n",
        "        if False:\n",
        "tests/service/log/test_reader.py",
    ),
    "a refresh that began earlier used for a later position": Mutant(
        "single_flight.py",
        "        if None in self._tasks:\n            await asyncio.shield(self._tasks[None])\n",
        "",
        "tests/service/log/memory/test_tail.py",
    ),
    "commit without fsync": Mutant(
        "log/sqlite/connections.py",
        "PRAGMA synchronous = FULL",
        "PRAGMA synchronous = NORMAL",
        "tests/service/log/sqlite/test_log.py",
    ),
    "Cosmos DB: an entry of another writer accepted as our own": Mutant(
        "log/cosmos/log.py",
        "            raise failure from None\n",
        "            return\n",
        f"{CONFORMANCE}/test_append.py",
    ),
    "Cosmos DB: an entry written past a gap": Mutant(
        "log/cosmos/log.py",
        "            if head.end_offset != after:\n                raise TailMoved",
        "            if head.end_offset > after:\n                raise TailMoved",
        f"{CONFORMANCE}/test_append.py",
    ),
    "Cosmos DB: an entry written inside a commit": Mutant(
        "log/cosmos/log.py",
        "after != self._segments.newest.position:",
        "after > self._segments.newest.position:",
        f"{CONFORMANCE}/test_append.py",
    ),
    "Cosmos DB: a commit across two segments": Mutant(
        "log/cosmos/documents.py",
        "if part and (full or entry.sequence % segment_entries == 0):",
        "if part and full:",
        "tests/service/log/cosmos/test_documents.py",
    ),
    "Cosmos DB: the last entry expired": Mutant(
        "log/cosmos/log.py",
        "head=head), head.end_offset - 1))",
        "head=head), head.end_offset))",
        f"{CONFORMANCE}/test_expire.py",
    ),
    "Cosmos DB: success assumed after a timeout": Mutant(
        "log/cosmos/retry.py",
        "case Outcome.UNKNOWN if self._kind is Kind.WRITE:",
        "case Outcome.UNKNOWN if self._kind is not Kind.WRITE:",
        "tests/service/log/cosmos/test_retry.py",
    ),
    "Cosmos DB: a write that may be done reported as not done": Mutant(
        "log/cosmos/retry.py",
        "        if request.doubt:\n",
        "        if False:\n",
        "tests/service/log/cosmos/test_retry.py",
    ),
    "Cosmos DB: requests during a pause": Mutant(
        "log/cosmos/availability.py",
        "        if seconds > 0:\n",
        "        if False:\n",
        "tests/service/log/cosmos/test_availability.py",
    ),
    "Cosmos DB: an end before the known one accepted": Mutant(
        "log/cosmos/segments.py",
        "            return max(end, End(least)) if may_be_empty or end.position >= least else None\n",
        "            return end\n",
        f"{CONFORMANCE}/test_cosmos_consistency.py",
    ),
    "Cosmos DB: a hole between two commits not noticed": Mutant(
        "log/cosmos/segments.py",
        "        _require_order(commits)\n",
        "",
        f"{CONFORMANCE}/test_cosmos_damage.py",
    ),
    "Cosmos DB: a hole before the first commit of a page not noticed": Mutant(
        "log/cosmos/segments.py",
        "if (commits[0].first if commits else end + 1) > after + 1:",
        "if (after if commits else end) > after:",
        f"{CONFORMANCE}/test_cosmos_damage.py",
    ),
    "Cosmos DB: an instance taken by two apps": Mutant(
        "log/cosmos/owners.py",
        "            return owner.app == app\n",
        "            return True\n",
        f"{CONFORMANCE}/test_cosmos_owners.py",
    ),
    "Cosmos DB: an owner that expires while its instance has events": Mutant(
        "log/cosmos/owners.py",
        "owner.time >= self._now() - self._keep // 2",
        "owner.time >= 0",
        f"{CONFORMANCE}/test_cosmos_owners.py",
    ),
    "Cosmos DB: an old owner written over another app": Mutant(
        "log/cosmos/owners.py",
        '        return await self._calls.replace("claim", document, etag=old.etag)\n',
        '        await self._calls.put("claim", document)\n        return ""\n',
        f"{CONFORMANCE}/test_cosmos_owners.py",
    ),
    "an event returned to a reader without rights": Mutant(
        "log/reader.py",
        "[entry for entry, question in questions_of_entries if question in allowed]",
        "list(scan.entries)",
        "tests/service/log/test_reader_access.py",
    ),
    "a full page whose cursor passes visible events": Mutant(
        "log/reader.py",
        "entries=entries, examined=entries[-1].sequence, positions=None",
        "entries=entries, examined=scan.examined, positions=None",
        "tests/service/log/test_reader_access.py",
    ),
    "a decision for one party that hides another's events": Mutant(
        "domain/feed.py",
        '"resource" if len(subjects) == 1 else None',
        '"resource"',
        "tests/service/domain/test_feed.py",
    ),
    "a right to read that permits to publish": Mutant(
        "access/publishers.py",
        'replace(question, action="publish")',
        "question",
        "tests/service/access/test_publishers.py",
    ),
    "a decision cached for every level of authentication": Mutant(
        "access/decisions.py",
        "Key(principal.caller, principal.level, question)",
        "Key(principal.caller, 4, question)",
        "tests/service/access/test_decisions.py",
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the service and its tests."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("service", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    # Each run would compile all of it. The hash of a mutant's file is another, even if its time and size are the same.
    compileall.compile_dir(folder, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    return folder


def run_copy(copy: Path, tests: str, *, engine: str = "") -> subprocess.CompletedProcess[str]:
    """Run tests in the copy. pytest's exit code is 1 if a test fails. `engine` selects tests of one engine."""
    command = [sys.executable, "-m", "pytest", "-x", "-n", "0", "-p", "no:cacheprovider", "-k", engine, tests]
    environment = {**os.environ, "PYTHONPATH": str(copy / "service"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)


def test_text_of_each_mutant_occurs_once_in_the_code() -> None:
    """If this test fails, adapt the mutant to the code."""
    service = ROOT / "service" / "eventfeed"
    counts = {name: (service / each.file).read_text().count(each.original) for name, each in MUTANTS.items()}

    assert {} == {name: count for name, count in counts.items() if count != 1}


@pytest.mark.parametrize("tests", sorted({mutant.tests for mutant in MUTANTS.values()}))
def test_unchanged_copy_passes_the_tests(copy: Path, tests: str) -> None:
    """Tests that fail on a mutant pass on the correct code."""
    result = run_copy(copy, tests)

    assert 0 == result.returncode, result.stdout + result.stderr


# A mutant above the engines must fail on each engine.
ABOVE_ENGINES = {APPENDER, "tests/service/log/memory/test_tail.py", "tests/service/log/test_reader.py"}
ON_EACH_ENGINE = [name for name, mutant in MUTANTS.items() if mutant.tests in ABOVE_ENGINES]


@pytest.mark.parametrize(
    ("name", "engine"), [*((name, "") for name in MUTANTS), *((name, "cosmos") for name in ON_EACH_ENGINE)]
)
def test_each_mutant_makes_a_test_fail(copy: Path, name: str, engine: str) -> None:
    """Each mistake alone makes at least one of its tests fail."""
    if engine and not is_available() and not os.environ.get("CI"):
        pytest.skip("there is no emulator: `make test` installs it")
    mutant = MUTANTS[name]
    file = copy / "service" / "eventfeed" / mutant.file
    code = file.read_text()
    assert 1 == code.count(mutant.original), "the mutant's text must occur once in the code"
    file.write_text(code.replace(mutant.original, mutant.replacement))
    try:
        result = run_copy(copy, mutant.tests, engine=engine)
    finally:
        file.write_text(code)

    assert 1 == result.returncode, result.stdout + result.stderr
