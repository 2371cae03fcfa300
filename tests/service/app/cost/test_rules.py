"""Rules have sources, curves interpolate, and figures of this service are those of its code."""

import re
from collections.abc import Sequence

import pytest

from eventfeed.app.cost import azure, sizes, workload
from eventfeed.app.cost.rules import Curve, Rule
from eventfeed.log.cosmos.containers import description
from eventfeed.log.cosmos.documents import COMMIT_BYTES_MAX, COMMIT_ENTRIES_MAX
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.log.cosmos.manifest import MANIFEST_SECONDS
from eventfeed.log.memory.recent_entries import ENTRIES_MAX
from eventfeed.log.memory.tail import REFRESH_SECONDS

STEPS = Curve("steps", ((1, 10.0), (2, 20.0), (4, 10.0)), "steps", "test")


def rules(module: object) -> Sequence[Rule | Curve]:
    """Every rule of a module."""
    return [each for each in vars(module).values() if isinstance(each, Rule | Curve)]


@pytest.mark.parametrize(
    ("position", "value"), [(0.5, 10.0), (1, 10.0), (1.5, 15.0), (2, 20.0), (3, 15.0), (4, 10.0), (9, 10.0)]
)
def test_curve_is_linear_between_points_and_constant_outside(position: float, value: float) -> None:
    """Each segment is used in its own range."""
    assert value == STEPS.at(position)


def test_every_rule_of_azure_names_a_page_of_microsoft() -> None:
    """The source is the address of a page."""
    sources = [each.source for each in rules(azure)]

    assert 15 < len(sources)
    assert [] == [each for each in sources if not re.fullmatch(r"https://learn\.microsoft\.com/azure/[a-z-/]+", each)]


def test_every_rule_of_the_workload_says_how_it_is_known() -> None:
    """It is measured, simulated, decided, or assumed; an assumption names the command that measures it."""
    sources = {each.source for each in (*rules(sizes), *rules(workload))}

    assert {"measured", "simulated", "decided", "assumed"} == {each.split()[0].strip(";") for each in sources}
    assert all("eventfeed store measure" in each for each in sources if each.startswith("assumed"))


def test_no_two_rules_have_the_same_name() -> None:
    """The explanation is unambiguous."""
    names = [each.name for each in (*rules(azure), *rules(sizes), *rules(workload))]

    assert sorted(set(names)) == sorted(names)


def test_figures_that_the_service_decides_are_those_of_its_code() -> None:
    """A change of the code changes the price."""
    assert workload.HEADS.value == pytest.approx(1 / REFRESH_SECONDS)
    assert ENTRIES_MAX == workload.MEMORY_EVENTS.value
    assert COMMIT_ENTRIES_MAX == workload.COMMIT_EVENTS.value
    assert COMMIT_BYTES_MAX == workload.COMMIT_ROW_BYTES.value
    assert MANIFEST_SECONDS == workload.MANIFEST_SECONDS.value
    owners = next(each for each in description().containers if each.name == "owners")
    assert owners.time_to_live is not None
    assert owners.time_to_live.retentions == workload.OWNER_RETENTIONS.value


def test_busy_process_commits_once_in_the_time_of_a_commit_and_of_gathering() -> None:
    """The end of the simulated curve is its limit, by the time that the appender gathers events."""
    pause = workload.COMMIT_SECONDS.value + CosmosLog.linger_seconds_max

    assert 1 / pause == pytest.approx(sizes.COMMITS.points[-1][1], rel=0.01)
