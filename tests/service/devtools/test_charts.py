"""Lines of measurements: the increments of each second, over all processes."""

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.resources import Resource

from eventfeed.devtools import charts as module
from eventfeed.devtools.charts import Charts, quantile
from eventfeed.telemetry.data_points import measurements
from eventfeed.telemetry.panels import PANELS
from eventfeed.telemetry.telemetry import Telemetry


@pytest.fixture
def telemetry() -> Telemetry:
    """The telemetry of one process."""
    return Telemetry()


def otlp_request(telemetry: Telemetry, process: str) -> object:
    """Return the request with which a process sends its measurements."""
    return encode_metrics(measurements(telemetry, Resource({"service.instance.id": process}), since=1))


def line(charts: Charts, title: str, name: str) -> list[float | None]:
    """Return the values of one line."""
    (panel,) = (each for each in charts.lines() if each["title"] == title)
    return list(panel["lines"][name])  # type: ignore[index]  # a table


def test_sum_line_shows_the_increment_of_each_second(telemetry: Telemetry) -> None:
    """Each of two processes counts from its own start, and the increments are added up."""
    now = [100.0]
    charts = Charts(lambda: now[0])
    for amount in (3, 4, 0):
        telemetry.counters["eventfeed.events.published"].add(amount, "ttd")
        telemetry.waiting_changed("poll", amount)
        for process in ("a", "b"):
            charts.add(otlp_request(telemetry, process))
        now[0] += 1

    assert [6, 8, 0] == line(charts, "Events published a second", "ttd")
    assert [6, 14, 14] == line(charts, "Waiting polls and streams", "poll")


def test_histogram_line_shows_the_quantile_of_each_second(telemetry: Telemetry) -> None:
    """Only the values of that second are in the quantile."""
    now = [100.0]
    charts = Charts(lambda: now[0])
    for value in (0.004, 20.0):
        for _ in range(10):
            telemetry.histograms["eventfeed.age_at_read"].record(value, "app")
        charts.add(otlp_request(telemetry, "a"))
        now[0] += 1

    assert [pytest.approx(0.005), pytest.approx(17.5)] == line(charts, "Age at read, median (s)", "app")


def test_charts_keep_a_bounded_number_of_seconds(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older seconds are evicted."""
    monkeypatch.setattr(module, "FRAMES_MAX", 3)
    now = [100.0]
    charts = Charts(lambda: now[0])
    for _ in range(9):
        telemetry.event_published("ttd", is_duplicate=False)
        charts.add(otlp_request(telemetry, "a"))
        now[0] += 1

    assert [1, 1, 1] == line(charts, "Events published a second", "ttd")
    assert 3 == len(charts._values)


@pytest.mark.parametrize(
    ("counts", "part", "value"),
    [
        ([0, 0, 0], 0.5, None),
        ([4, 0, 0], 0.5, 0.5),
        ([0, 4, 0], 0.5, 3.0),
        ([0, 4, 0], 1.0, 5.0),
        ([1, 1, 2], 0.99, 5.0),
        ([0, 0, 7], 0.5, 5.0),
    ],
)
def test_quantile_lies_within_its_bucket(counts: list[float], part: float, value: float | None) -> None:
    """A value above all bounds counts as the last of them."""
    assert value == quantile(counts, [1.0, 5.0], part=part)


def test_panels_show_attributes_of_their_metrics() -> None:
    """Each panel has a unique title."""
    assert [] == [each for each in PANELS if each.by and each.by not in each.metric.attributes]
    assert len(PANELS) == len({each.title for each in PANELS})
