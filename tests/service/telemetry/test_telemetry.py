"""Measurements: sums and distributions in a bounded number of series, and a verb for each metric."""

import pytest
from opentelemetry.sdk.metrics.export import NumberDataPoint
from opentelemetry.sdk.resources import Resource

from eventfeed.domain.page_entries import EntryList
from eventfeed.telemetry import telemetry as module
from eventfeed.telemetry.data_points import measurements
from eventfeed.telemetry.metrics import METRICS
from eventfeed.telemetry.telemetry import OVERFLOW, Counter, Histogram, Telemetry
from tests.support.events import entries

DURATION = METRICS["eventfeed.page.duration"]._replace(bounds=(1, 2, 5))


def call_every_verb(telemetry: Telemetry) -> Telemetry:
    """Call every verb once and return the telemetry."""
    telemetry.end_request("GET", "/route", status=200, seconds=0.1, request=None)
    telemetry.event_published("ttd", is_duplicate=False)
    telemetry.event_published("ttd", is_duplicate=True)
    telemetry.publish_refused("invalid-event")
    with telemetry.batch_started("sqlite", waits=[0.1, 0.2], traceparents=[]):
        telemetry.batch_written("sqlite", events=2, seconds=0.1)
    telemetry.batch_failed("sqlite", "not_done")
    telemetry.race_lost("sqlite")
    telemetry.page_served("app", EntryList(entries(1, 3)), examined=3, lag=0, seconds=0.1)
    telemetry.poll_caught_up("app", "304")
    telemetry.waiting_changed("poll", 1)
    telemetry.token_exchanged("maskinporten", "given")
    telemetry.decisions_made([("allowed", "asked")])
    with telemetry.decision_request():
        pass
    telemetry.store_responded("find", 2.5)
    telemetry.store_throttled("find")
    telemetry.observe_queue(lambda: 7)
    telemetry.observe_memory(lambda: 8)
    telemetry.observe_log(lambda: 6)
    telemetry.observe_tail(lambda: 9, staleness=lambda: 0.5)
    return telemetry


def test_value_counts_in_the_bucket_of_the_first_bound_not_below_it() -> None:
    """OpenTelemetry defines buckets so: the upper bound belongs to its bucket."""
    histogram = Histogram(DURATION)
    for value in (0, 1, 1.5, 2, 3, 5, 6):
        histogram.record(value, "x")
    (distribution,) = histogram.series.values()

    assert ([2, 2, 2, 1], 18.5, 0, 6) == (
        distribution.counts,
        distribution.total,
        distribution.least,
        distribution.greatest,
    )


def test_series_above_the_maximum_are_added_up_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """This applies to counters and histograms."""
    monkeypatch.setattr(module, "SERIES_MAX", 3)
    counter, histogram = Counter(METRICS["eventfeed.events.published"]), Histogram(DURATION)
    for number in range(10):
        counter.add(1, f"{number}")
        histogram.record(1, f"{number}")

    assert {("0",): 1, ("1",): 1, ("2",): 1, (OVERFLOW,): 7} == counter.series
    assert 7 == sum(histogram.series[OVERFLOW,].counts)


def test_decision_request_is_measured_by_its_outcome() -> None:
    """A failure is measured, and the exception continues."""
    telemetry = Telemetry()
    with telemetry.decision_request():
        pass
    with pytest.raises(OSError, match="no"), telemetry.decision_request():
        raise OSError("no")

    assert {("answered",), ("failed",)} == set(telemetry.histograms["eventfeed.decisions.duration"].series)


def test_page_is_measured_with_the_age_of_its_newest_event() -> None:
    """The other measurements of a page are its events, examined positions, lag and duration."""
    (entry,) = page = EntryList(entries(1, 1))
    telemetry = Telemetry(clock_ns=lambda: entry.time * 1_000 + 3_000_000_000)
    telemetry.page_served("app", page, examined=5, lag=2, seconds=0.1)
    telemetry.page_served("app", EntryList(), examined=0, lag=0, seconds=0.1)
    totals = {name: each.series["app",].total for name, each in telemetry.histograms.items() if each.series}

    assert {
        "eventfeed.page.events": 1,
        "eventfeed.page.examined": 5,
        "eventfeed.page.duration": 0.2,
        "eventfeed.consumer.lag": 2,
        "eventfeed.age_at_read": 3.0,
    } == totals


def test_every_metric_has_a_verb() -> None:
    """One call of each verb gives every metric a data point with the metric's attributes."""
    data = measurements(call_every_verb(Telemetry()), Resource({}), since=1)
    (metrics,) = (scope.metrics for resource in data.resource_metrics for scope in resource.scope_metrics)

    assert list(METRICS) == [metric.name for metric in metrics]
    assert [] == [
        metric.name
        for metric in metrics
        for point in metric.data.data_points
        if set(point.attributes or {}) != set(METRICS[metric.name].attributes)
    ]


def test_telemetry_of_two_processes_is_separate() -> None:
    """Two `Telemetry` objects share no state."""
    first, second = call_every_verb(Telemetry()), Telemetry()

    assert first.counters["eventfeed.events.published"].series
    assert not any(each.series for each in second.counters.values())
    assert not any(each.series for each in second.histograms.values())


def test_gauges_are_read_when_measurements_are_sent() -> None:
    """A gauge has the value of that moment."""
    telemetry, depth = Telemetry(), [1]
    telemetry.observe_queue(lambda: depth[0])
    depth[0] = 5
    data = measurements(telemetry, Resource({}), since=1)
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    (point,) = metric.data.data_points

    assert isinstance(point, NumberDataPoint)
    assert ("eventfeed.queue.depth", 5) == (metric.name, point.value)
