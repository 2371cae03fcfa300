"""`make growth`: its short form has every figure of `docs/scale.md`, and its events are those of the service."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from loadtests.benchmark.events import PUBLISH, authorization
from loadtests.benchmark.servers import service
from loadtests.growth.costs import Cost
from loadtests.growth.effort import FULL, SHORT
from loadtests.growth.figures import Figure, figure
from loadtests.growth.log_files import create_log, create_store, require_space, run_command
from loadtests.growth.long_logs import cost_figures
from loadtests.growth.page import COSMOS_TITLE, markdown, plot_name, table, update_page
from loadtests.growth.plots import plot
from loadtests.growth.sections import Section
from loadtests.growth.series import COLUMNS, Series

ROOT = Path(__file__).parents[2]
SCALE = (ROOT / "docs/scale.md").read_text()
SERIES = Series(2_000, 7, 1_000, 1_700_000_000_000_000, 1_700_000_100_000_000)
COMMAND = [sys.executable, "-m", "loadtests.growth", "--short"]


def first_cells(title: str) -> list[str]:
    """The first cell of each row of the table below a heading of the page, without the titles."""
    section = SCALE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return [row.split("|")[1].strip() for row in section.splitlines() if row.startswith("| ")][1:]


def growing(*values: float) -> Figure:
    """A figure with one round at each of the sizes 10, 100, ..."""
    return figure("page: time", {10 ** (index + 1): [value] for index, value in enumerate(values)}, unit="s")


@pytest.mark.timeout(1_200)
def test_short_form_measures_every_figure_of_the_page(tmp_path: Path) -> None:
    """Each table of the page has the rows that the program writes, in its order, and a plot."""
    file = tmp_path / "figures.json"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.run(
        [*COMMAND, "--json", str(file)], cwd=ROOT, env=environment, capture_output=True, timeout=1_140, check=False
    )

    assert 0 == process.returncode, process.stderr.decode()
    report = json.loads(file.read_text())
    for section in report["sections"]:
        assert [each["name"] for each in section["figures"]] == first_cells(section["title"])
        assert plot_name(section["title"]) in SCALE
    assert [row[0] for row in report["cosmos"]][1:] == first_cells(COSMOS_TITLE)
    assert all(each["name"].encode() in process.stdout for section in report["sections"] for each in section["figures"])
    assert [file] == list(tmp_path.iterdir())


def test_full_form_measures_the_sizes_of_the_issue() -> None:
    """The short form has few and small logs."""
    assert (100_000, 1_000_000, 10_000_000) == FULL.events
    assert (10, 10_000) == (FULL.apps[0], FULL.apps[-1])
    assert (1, 10_000) == (FULL.readers[0], FULL.readers[-1])
    assert sum(SHORT.events) + SHORT.apps_events + SHORT.readers_events < 100_000


def test_row_of_an_event_is_the_one_that_the_service_writes(tmp_path: Path) -> None:
    """Its columns, its digest and its JSON are equal, but for the times and the write id."""
    event = SERIES.event(1)
    with service(tmp_path) as server:
        headers = {**authorization(server), "Content-Type": "application/json"}
        server.client.post(PUBLISH, content=event.as_sent(), headers=headers).raise_for_status()
        with closing(apsw.Connection(str(server.store))) as db:
            ((_, time, write_id, *columns),) = db.execute(f"SELECT {COLUMNS} FROM entry")  # noqa: S608  # constants
    body = columns[-1]
    moment = json.loads(body)["time"]

    _, _, _, *expected = event.row(time=time, moment=moment)
    assert write_id
    assert expected == columns


def test_log_of_direct_inserts_has_no_fault(tmp_path: Path) -> None:
    """`eventfeed store check` finds none, and every event is repeated at its position."""
    folder = tmp_path / "log"
    create_log(folder, SERIES, empty=create_store(tmp_path / "empty"))

    assert "2000" in run_command("store", "check", folder=folder).replace(",", "")
    with service(folder) as server:
        headers = {**authorization(server), "Content-Type": "application/json"}
        receipt = server.client.post(PUBLISH, content=SERIES.event(1_234).as_sent(), headers=headers).json()
    assert (True, 1_234) == (receipt["duplicate"], int(receipt["sequence"]))


def test_each_party_of_a_series_has_a_full_page() -> None:
    """They are at even distances, and one event in a thousand is rare."""
    events = [SERIES.event(position) for position in range(1, SERIES.events + 1)]
    parties = [event.party for event in events if 60_000_001 <= event.party <= 60_000_020]

    assert {50} == {parties.count(party) for party in parties}
    assert [501, 1_501] == [event.position for event in events if event.type == "instance.rare"]
    assert {f"app-{number}" for number in range(7)} == {event.app for event in events}


def test_lack_of_space_ends_with_a_message_that_names_the_folder(tmp_path: Path) -> None:
    """The message says how much is needed, and how to run without it."""
    with pytest.raises(SystemExit, match=rf"needs 1,500,000.0 GB in {tmp_path}.*TMPDIR.*SHORT=1"):
        require_space(tmp_path, events=10**12)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_removes_the_files_of_a_run(tmp_path: Path, number: signal.Signals) -> None:
    """The program ends with the exit code of an interruption."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(COMMAND, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.glob("growth-*/logs/*")):
            assert process.poll() is None
        process.send_signal(number)

    assert 130 == process.returncode
    assert [] == list(tmp_path.iterdir())


def test_ratio_is_that_of_the_last_size_to_the_first_in_the_same_round() -> None:
    """A noisy round changes both, and the median leaves it out. A ratio over 1.2 is a fault."""
    values = figure("page: time", {10: [1, 50, 2], 100: [9, 9, 9], 1_000: [1.1, 70, 2.2]}, unit="s")

    assert pytest.approx(1.1) == values.ratio
    assert not values.grows
    assert growing(1, 2, 1.3).grows
    assert figure("page: p99", {1: [1], 10: [9]}, unit="s", is_bounded=False).ratio is None


def test_operation_has_a_figure_of_each_kind() -> None:
    """Processor time and time come from the same rounds, and the first touch has rounds of its own."""
    costs, first = {1: [Cost(1, 2)], 2: [Cost(1, 3)]}, {1: [Cost(1, 4)], 2: [Cost(1, 5)]}

    figures = cost_figures("start", costs, first, unit="ms", factor=1_000)
    assert [
        ("start: processor time", 1_000, 1.0),
        ("start: time", 2_000, 1.5),
        ("start: time at first touch", 4_000, 1.25),
    ] == [(each.name, each.points[0].median, each.ratio) for each in figures]


def test_page_gets_its_tables_and_plots(tmp_path: Path) -> None:
    """Only the table below each heading changes, and the sentence about the origin."""
    page = tmp_path / "scale.md"
    page.write_text(
        "# Scale\n\nMeasured before.\n\n## Apps\n\nText.\n\n"
        "| old |\n|---|\n| 1 |\n\nMore.\n\n## Other\n\n| kept |\n|---|\n"
    )
    section = Section(title="Apps", size="apps", figures=[growing(1, 1)])
    update_page(page, [section], cosmos=[["x"], ["1"]], origin="Measured now.")

    assert (
        "# Scale\n\nMeasured now.\n\n## Apps\n\nText.\n\n"
        "| cost | unit | 10 apps | 100 apps | last / first |\n|---|---|---|---|---|\n"
        "| page: time | s | 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) | 1.00 |\n\nMore.\n\n"
        "## Other\n\n| kept |\n|---|\n"
    ) == page.read_text()
    assert (tmp_path / plot_name("Apps")).read_text() == plot(section.figures)
    assert markdown(table(section)) in page.read_text()


def test_plot_has_a_panel_for_each_operation_and_a_line_for_each_kind() -> None:
    """A line shows multiples of its first value, so that lines of different costs begin at one place."""
    other = figure("publish: time", {10: [1], 100: [2]}, unit="s")
    image = plot([growing(1, 2), figure("page: p99", {10: [4], 100: [4]}, unit="s"), other])
    lines = [
        [float(end.split(",")[1]) for end in points.split()]
        for points in re.findall(r'<polyline points="(.*?)"', image)
    ]

    assert 2 == image.count("<g ")
    assert 3 == len(lines)
    assert lines[0][0] == lines[1][0] == lines[1][1] > lines[0][1]
