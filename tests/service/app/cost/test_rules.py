"""Rules have sources, curves interpolate, and figures of this service are those of its code."""

import re
from collections.abc import Sequence

import pytest

from eventfeed.app.cost import azure, sizes, workload
from eventfeed.app.cost.rules import Curve, Rule, Surface
from eventfeed.log.cosmos.containers import description
from eventfeed.log.cosmos.documents import COMMIT_BYTES_MAX, COMMIT_ENTRIES_MAX
from eventfeed.log.cosmos.log import LINGER_SECONDS, LINGER_UNIT_SECONDS
from eventfeed.log.cosmos.manifest import MANIFEST_SECONDS
from eventfeed.log.memory.recent_entries import ENTRIES_MAX
from eventfeed.log.memory.tail import REFRESH_SECONDS

STEPS = Curve("steps", ((1, 10.0), (2, 20.0), (4, 10.0)), "steps", "test")
SLOPE = Surface("slope", ((0, ((1, 10.0), (2, 20.0))), (10, ((1, 30.0), (2, 60.0)))), "m", "test")


def rules(module: object) -> Sequence[Rule | Curve | Surface]:
    """Every rule of a module."""
    return [each for each in vars(module).values() if isinstance(each, Rule | Curve | Surface)]


@pytest.mark.parametrize(
    ("position", "value"), [(0.5, 10.0), (1, 10.0), (1.5, 15.0), (2, 20.0), (3, 15.0), (4, 10.0), (9, 10.0)]
)
def test_curve_is_linear_between_points_and_constant_outside(position: float, value: float) -> None:
    """Each segment is used in its own range."""
    assert value == STEPS.at(position)


@pytest.mark.parametrize(
    ("level", "position", "value"),
    [(0, 1, 10.0), (0, 1.5, 15.0), (10, 2, 60.0), (5, 1.5, 30.0), (-1, 9, 20.0), (99, 0, 30.0)],
)
def test_surface_is_linear_between_its_curves_and_constant_outside(level: float, position: float, value: float) -> None:
    """The value lies between those of the two nearest curves at the position."""
    assert value == SLOPE.at(level, position)
    assert "0: 10.0 at 1, 20.0 at 2 m; 10: 30.0 at 1, 60.0 at 2 m" == SLOPE.figure


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
    assert LINGER_UNIT_SECONDS == workload.LINGER_UNIT_SECONDS.value
    assert LINGER_SECONDS == workload.LINGER_SECONDS.value
    assert MANIFEST_SECONDS == workload.MANIFEST_SECONDS.value
    owners = next(each for each in description().containers if each.name == "owners")
    assert owners.time_to_live is not None
    assert owners.time_to_live.retentions == workload.OWNER_RETENTIONS.value
