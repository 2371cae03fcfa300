"""`eventfeed store measure` on the emulator: charges, index metrics and partitions as the account reports them."""

import base64
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from eventfeed.app.measure import Measurement, Meter
from eventfeed.cli.commands import main
from eventfeed.log.cosmos.log import CosmosLog
from tests.emulator.fault_proxy import network_to
from tests.emulator.messages import Request, Response, Send
from tests.emulator.rules.azure import Azure, Settings
from tests.emulator.running import open_log_through, skip_without_emulator
from tests.support.events import entries

PARTITIONS = 3
METRICS = {
    "UtilizedSingleIndexes": [{"IndexSpec": "/last/?"}, {"IndexSpec": "/segment/?"}],
    "PotentialSingleIndexes": [],
    "UtilizedCompositeIndexes": [],
    "PotentialCompositeIndexes": [{"IndexSpecs": ["/segment ASC", "/last ASC"]}],
}


async def add_index_metrics(request: Request, send: Send) -> Response:
    """Add index metrics to the responses of queries that ask for them, as the store does."""
    response = await send(request)
    if request.headers.get("x-ms-cosmos-populateindexmetrics"):
        response.headers["x-ms-cosmos-index-utilization"] = base64.b64encode(json.dumps(METRICS).encode()).decode()
    return response


@asynccontextmanager
async def open_metered_log(url: str) -> AsyncIterator[tuple[Meter, CosmosLog]]:
    """Open a log of 40 entries in an account with charges, index metrics and three physical partitions."""
    network = network_to(url)
    network.rules = (add_index_metrics, *Azure(Settings(partitions=PARTITIONS)).rules)
    async with open_log_through(network, url, segment_entries=1_000) as log:
        await log.append(entries(1, 20), after=0)
        await log.append(entries(21, 40), after=20)
        yield Meter(log._database, log), log


def by_verb(measurements: Sequence[Measurement]) -> Mapping[tuple[str, str], Measurement]:
    """The measurements by action and verb."""
    return {(each.action, each.verb): each for each in measurements}


async def test_reads_show_charges_model_and_indexes_of_each_verb(emulator_url: str) -> None:
    """The charges are those of the account. Nothing is appended."""
    async with open_metered_log(emulator_url) as (meter, log):
        measurements = by_verb(await meter.reads())
        partitions, end = await meter.partitions(), (await log.head()).end_offset
    head, find = measurements["end of the log", "head"], measurements["lookup of 20 new events", "find"]
    page = measurements["page of 50 events of an app", "scan"]

    assert 40 == end
    assert {"commits": PARTITIONS, "owners": PARTITIONS} == partitions
    assert (1, 1, True) == (head.requests, head.documents, 2.5 < head.request_units < 4)
    assert (PARTITIONS, 0, PARTITIONS * 2.5) == (find.requests, find.documents, find.model_units)
    assert (1, 2) == (page.requests, page.documents)
    assert ["/last/?", "/segment/?"] == page.indexes
    assert ["/segment ASC+/last ASC"] == page.missing_indexes
    assert all(each.request_units == pytest.approx(each.model_units, rel=0.6) for each in measurements.values())


async def test_appends_are_commits_of_markers(emulator_url: str) -> None:
    """The model counts the bytes and the index terms of the document that was written."""
    async with open_metered_log(emulator_url) as (meter, log):
        measurements = by_verb(await meter.appends())
        end = (await log.head()).end_offset
    appends = [measurements[f"append of {count}", "append"] for count in (1, 20, 500)]

    assert 40 + 521 == end
    assert [(1, 1)] * 3 == [(each.requests, each.documents) for each in appends]
    assert sorted(each.request_units for each in appends) == [each.request_units for each in appends]
    assert all(each.request_units == pytest.approx(each.model_units, rel=0.6) for each in appends)


async def test_empty_log_is_measured(emulator_url: str) -> None:
    """Without an event there is no page to read."""
    network = network_to(emulator_url)
    async with open_log_through(network, emulator_url, segment_entries=1_000) as log:
        actions = {each.action for each in await Meter(log._database, log).reads()}

    assert {"end of the log", "lookup of 20 new events"} <= actions
    assert not any("page" in each for each in actions)


def measure(store: str, *arguments: str) -> Result:
    """The result of the command on a store."""
    environment: dict[str, Any] = {"EVENTFEED_STORE": store}
    return CliRunner().invoke(main, ["store", "measure", *arguments], env=environment)


@pytest.fixture
def store(emulator_url: str) -> str:
    """An empty log in a new database of the emulator."""
    skip_without_emulator(emulator_url)
    address = f"cosmos://{urlsplit(emulator_url).netloc}/test-{uuid.uuid4().hex}"
    assert 0 == CliRunner().invoke(main, ["store", "create"], env={"EVENTFEED_STORE": address}).exit_code
    return address


def test_emulator_is_measured_with_a_warning(store: str) -> None:
    """A charge of 1 for each request means nothing."""
    table, lines = measure(store), measure(store, "--json")
    values = [json.loads(line) for line in lines.stdout.splitlines()]

    assert (0, 0) == (table.exit_code, lines.exit_code)
    assert "mean nothing" in table.stderr
    assert table.stdout.startswith("action")
    assert "Physical partitions of commits: " in table.stdout
    assert {True} == {each["emulator"] for each in values}
    assert {"head", "find", "owners"} <= {each["verb"] for each in values}


def test_appends_need_a_confirmation(store: str) -> None:
    """Without a terminal and `--yes` nothing is appended."""
    refusal, result = measure(store, "--appends"), measure(store, "--appends", "--yes", "--json")
    counts = [json.loads(line)["action"] for line in result.stdout.splitlines() if '"verb": "append"' in line]

    assert 2 == refusal.exit_code
    assert "Nothing was changed" in refusal.stderr
    assert ["append of 1", "append of 20", "append of 500"] == counts


def test_sqlite_store_is_refused_with_the_setting() -> None:
    """SQLite charges nothing."""
    result = measure("sqlite:///log.db")

    assert 2 == result.exit_code
    assert "EVENTFEED_STORE=cosmos://" in result.stderr
