"""The model computes Microsoft's own examples, and a load that grows costs more."""

import json
from pathlib import Path

import pytest

from eventfeed.app.cost import workload
from eventfeed.app.cost.limits import first_limit
from eventfeed.app.cost.model import Commits, Container, Estimate, Load, commits_of, estimate
from eventfeed.log.cosmos import containers as module

LOAD = Load(events_a_second=100, event_bytes=1_234, retention_days=90, processes=2)


def dollars(load: Load) -> float:
    """The price of a load (dollars a month)."""
    return sum(estimate(load).dollars.values())


def test_write_of_a_document_of_1_kb_with_10_index_terms_costs_7_units() -> None:
    """An example of Microsoft, in which 4.95 is written as 5.0."""
    commits = Commits(1, 1, 1, document_bytes=1_024, index_bytes=0, index_terms=10)

    assert pytest.approx(7, abs=0.06) == commits.write_units
    assert 1 == commits.read_units


@pytest.mark.parametrize(("used", "paid"), [(0, 100), (700, 700), (520, 550)])
def test_each_partition_is_paid_for_its_use_but_at_least_for_a_tenth(used: float, paid: float) -> None:
    """An example of Microsoft: of 1,000 RU/s in two partitions, 500 and 200 are used, and 700 are paid."""
    container = Container(0, 2, units=used, busiest_units=min(used, 500))

    assert 1_000 == container.throughput_max
    assert paid == pytest.approx(container.paid_units)


def test_storage_sets_the_smallest_autoscale_maximum() -> None:
    """An example of Microsoft: 2,000 GB need a maximum of 20,000 RU/s, of which a tenth is always paid."""
    container = Container(2_000, 40, units=0, busiest_units=0)

    assert 20_000 == container.throughput_max
    assert 2_000 == pytest.approx(container.paid_units)


def test_autoscale_costs_one_and_a_half_times_the_manual_price() -> None:
    """6,000 RU/s are 90 units of 0.008 dollars an hour, in an example of Microsoft."""
    assert 90 * 0.008 * 730 == pytest.approx(Container(0, 1, units=6_000, busiest_units=6_000).dollars)


def test_throughput_lets_the_busiest_partition_have_its_part() -> None:
    """Each partition gets an equal part of the maximum, so a single busy one multiplies it."""
    container = Container(0, 24, units=1_000, busiest_units=995)

    assert 24_000 == container.throughput_max
    assert 995 + 23 * 100 == pytest.approx(container.paid_units)


def test_idle_process_commits_each_event_alone() -> None:
    """An event an hour is a commit an hour."""
    commits = commits_of(LOAD._replace(events_a_second=1 / 3_600))

    assert 1 / 3_600 == pytest.approx(commits.a_second, rel=1e-3)
    assert 1 == pytest.approx(commits.events, rel=1e-3)


@pytest.mark.parametrize("processes", [1, 2, 4, 50])
def test_busy_processes_commit_at_most_40_times_a_second_each_and_one_after_another(processes: int) -> None:
    """The events gather in larger commits instead."""
    commits = commits_of(LOAD._replace(events_a_second=10_000, processes=processes))

    assert commits.a_second <= min(40 * processes, 1 / workload.COMMIT_SECONDS.value)
    assert 10_000 == pytest.approx(commits.a_second * commits.events)


def test_commit_has_at_most_500_events_and_a_megabyte_of_them() -> None:
    """More events are more commits."""
    many = commits_of(LOAD._replace(events_a_second=200_000, event_bytes=500))
    large = commits_of(LOAD._replace(events_a_second=10_000, event_bytes=131_072))

    assert 500 == many.events
    assert 7 < large.events < 8


@pytest.mark.parametrize(
    "more",
    [
        LOAD._replace(events_a_second=200),
        LOAD._replace(event_bytes=2_000),
        LOAD._replace(retention_days=120),
        LOAD._replace(processes=3),
        LOAD._replace(partitions=48),
    ],
    ids=["events", "bytes", "retention", "processes", "partitions"],
)
def test_more_of_anything_costs_more(more: Load) -> None:
    """Each number of a load raises the price."""
    assert dollars(more) > dollars(LOAD)


def test_parts_of_an_estimate_agree() -> None:
    """Request units by verb are those of the containers, and the lookup asks every partition."""
    price = estimate(LOAD)
    units = price.request_units

    assert price.log.units + price.owners.units + price.records.units == pytest.approx(sum(units.values()))
    assert price.log.partitions * 50 >= price.log.storage_gb > (price.log.partitions - 1) * 50
    assert price.log.busiest_units >= units["append"] + units["head"] + units["seek"] + units["follow"]
    assert 2 * units["find"] == pytest.approx(
        estimate(LOAD._replace(partitions=2 * price.log.partitions)).request_units["find"]
    )


def test_partitions_hold_the_commits_of_their_own_linger_time() -> None:
    """Commits of this load in 9 partitions need 8, but commits in 8 gather for less time, and need 9."""
    load = Load(events_a_second=50, event_bytes=1_000, retention_days=90, processes=1)
    price = estimate(load)
    fewer = estimate(load._replace(partitions=8))

    assert 9 == price.log.partitions
    assert fewer.log.storage_gb > 8 * 50 > price.log.storage_gb
    assert price.log == estimate(load._replace(partitions=9)).log


@pytest.mark.parametrize("events_a_second", [1, 10, 100, 1_000])
def test_owners_get_enough_of_the_throughput_that_is_deployed(events_a_second: float) -> None:
    """The deployment names the throughput of the commits; the owners get a share, in whole steps."""
    containers = json.loads(Path(module.__file__).with_name("containers.json").read_text())["containers"]
    (share,) = (each["throughput_share"] for each in containers if each["name"] == "owners")
    price = estimate(LOAD._replace(events_a_second=events_a_second))

    assert max(1_000, share * price.log.throughput_max) >= price.owners.throughput_max


@pytest.mark.parametrize(
    "load",
    [
        LOAD,
        LOAD._replace(retention_days=1),
        LOAD._replace(retention_days=1 / 24, event_bytes=100),
        LOAD._replace(processes=1),
    ],
    ids=["90 days", "a day", "an hour", "one process"],
)
def test_first_limit_is_kept_below_its_load_and_exceeded_above(load: Load) -> None:
    """The figure is right to three digits."""
    limit = first_limit(load)

    assert all(use <= 1 for use in uses(estimate(load._replace(events_a_second=limit.events_a_second * 0.99))))
    assert any(use > 1 for use in uses(estimate(load._replace(events_a_second=limit.events_a_second * 1.01))))


def test_first_limit_depends_on_the_load() -> None:
    """A long retention meets the throughput of the container, a short one that of the newest partition."""
    assert "`commits`" in first_limit(LOAD).name
    assert "newest partition" in first_limit(LOAD._replace(retention_days=1 / 24)).name


def uses(price: Estimate) -> tuple[float, float, float]:
    """The shares of the three limits that a load uses."""
    return (
        price.log.busiest_units / 10_000,
        price.log.throughput_max / 1_000_000,
        price.commits.a_second * workload.COMMIT_SECONDS.value - 1e-9,
    )
