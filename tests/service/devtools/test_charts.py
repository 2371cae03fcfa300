"""Lines of what processes measure: what came each second, over all of them, however they count."""

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.resources import Resource

from eventfeed.devtools import charts as module
from eventfeed.devtools.charts import Charts, quantile
from eventfeed.telemetry.export import measured
from eventfeed.telemetry.metrics import AGE, PUBLISHED, WAITING
from eventfeed.telemetry.panels import PANELS


@pytest.fixture(autouse=True)
def nothing_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each test."""
    for each in (AGE, PUBLISHED, WAITING):
        monkeypatch.setattr(each, "points", {})


def sent(process: str) -> object:
    """What a process sends of what has been measured so far."""
    return encode_metrics(measured(Resource({"service.instance.id": process}), since=1))


def line(charts: Charts, title: str, name: str) -> list[float | None]:
    """The values of one line."""
    (panel,) = (each for each in charts.lines() if each["title"] == title)
    return list(panel["lines"][name])  # type: ignore[index]  # a table


def test_sums_are_told_by_what_came_each_second() -> None:
    """Over two processes that count from their own start."""
    now = [100.0]
    charts = Charts(lambda: now[0])
    for amount in (3, 4, 0):
        PUBLISHED.add(amount, "ttd")
        WAITING.add(amount, "poll")
        for process in ("a", "b"):
            charts.take(sent(process))
        now[0] += 1

    assert [6, 8, 0] == line(charts, "Events published a second", "ttd")
    assert [6, 14, 14] == line(charts, "Waiting polls and streams", "poll")


def test_distributions_are_told_by_their_quantiles() -> None:
    """Of what came in that second alone."""
    now = [100.0]
    charts = Charts(lambda: now[0])
    for value in (0.004, 20.0):
        for _ in range(10):
            AGE.record(value, "app")
        charts.take(sent("a"))
        now[0] += 1

    assert [pytest.approx(0.005), pytest.approx(17.5)] == line(charts, "Age at read, median (s)", "app")


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By seconds."""
    monkeypatch.setattr(module, "FRAMES_MAX", 3)
    now = [100.0]
    charts = Charts(lambda: now[0])
    for _ in range(9):
        PUBLISHED.add(1, "ttd")
        charts.take(sent("a"))
        now[0] += 1

    assert [1, 1, 1] == line(charts, "Events published a second", "ttd")
    assert 3 == len(charts._standing)


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
def test_quantiles_lie_within_their_bucket(counts: list[float], part: float, value: float | None) -> None:
    """What is above all bounds is told as the last of them."""
    assert value == quantile(counts, [1.0, 5.0], part=part)


def test_panels_show_what_there_is() -> None:
    """Each by an attribute that its metric has, under a title of its own."""
    assert [] == [each for each in PANELS if each.by and each.by not in each.metric.describe_settings.attributes]
    assert len(PANELS) == len({each.title for each in PANELS})
