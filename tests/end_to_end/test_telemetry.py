"""Telemetry of a service at a receiver: the trace of one event, routes without ids, and no personal data."""

import time
import uuid
from functools import partial
from pathlib import Path

import httpx

from tests.support.feeds import read_app_feed
from tests.support.otlp_receiver import HANG_SECONDS, Receiver, grpc_agent, receiving, sending_to
from tests.support.publishing import APP_PATH, app_event, post_events
from tests.support.service import bearer, running_service, stop

SERVER = 2
PERSON = "01838012345"


def new_trace(flags: str = "01") -> tuple[str, str]:
    """Return the `traceparent` of a publisher's own trace, and the trace id."""
    trace = uuid.uuid4().hex
    return f"00-{trace}-{uuid.uuid4().hex[:16]}-{flags}", trace


def test_trace_of_an_event_leads_from_publisher_to_reader(tmp_path: Path) -> None:
    """The publisher's trace id is on its request, on the write, in the event, and on the link of the page."""
    traceparent, trace = new_trace()
    with receiving() as receiver, running_service(tmp_path, **sending_to(receiver)) as service:
        post_events(service, APP_PATH, app_event("bolig"), traceparent=traceparent).raise_for_status()
        page = read_app_feed(service, "bolig", "after=0").json()
        receiver.until(lambda: any(trace in span.links for span in receiver.spans))
        spans = {span.name: span for span in receiver.spans if span.trace == trace}
        (page_span,) = (span for span in receiver.spans if trace in span.links)

    assert traceparent == page[0]["traceparent"]
    assert {"POST /events/api/v1/app", "append", "write"} == set(spans)
    assert spans["append"].parent == spans["POST /events/api/v1/app"].id
    assert spans["write"].parent == spans["append"].id
    assert [{"db.system.name": "sqlite"}, {"eventfeed.engine": "sqlite"}] == [
        spans[name].attributes for name in ("write", "append")
    ]
    assert ("GET /events/api/v1/app/{org}/{app}", SERVER) == (page_span.name, page_span.kind)
    assert {
        "http.request.method": "POST",
        "http.route": "/events/api/v1/app",
        "http.response.status_code": 201,
    } == spans["POST /events/api/v1/app"].attributes


def test_agent_receives_spans_and_logs_by_grpc(tmp_path: Path) -> None:
    """A container platform runs such an agent beside the service and sets the SDK's own settings."""
    with receiving() as receiver, grpc_agent(receiver) as endpoint:
        grpc_settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        log_settings = {"OTEL_BLRP_SCHEDULE_DELAY": "100", "EVENTFEED_LOG_LEVEL": "info"}
        with running_service(tmp_path, **{**sending_to(receiver), **grpc_settings, **log_settings}) as service:
            read_app_feed(service, "bolig", "after=0").raise_for_status()
            route = "GET /events/api/v1/app/{org}/{app}"
            receiver.until(lambda: any(span.name == route for span in receiver.spans))
            receiver.until(lambda: any(line.startswith(route) for line, _ in receiver.logs))

            assert set() == receiver.names()


def test_exchange_has_a_span_for_the_request_of_keys(tmp_path: Path) -> None:
    """Only the first exchange has one, because the keys are cached."""
    with receiving() as receiver, running_service(tmp_path, **sending_to(receiver)) as service:
        for scope in ("altinn:events/ttd", "altinn:events/skd"):
            service.token(scope)
        receiver.until(lambda: ["exchange"] * 2 == [span.name for span in receiver.spans if span.name == "exchange"])
        first, _ = (span for span in receiver.spans if span.name == "exchange")
        (keys,) = (span for span in receiver.spans if span.name == "verify keys")

    assert (first.trace, first.id) == (keys.trace, keys.parent)


def test_paths_with_ids_make_one_series(tmp_path: Path) -> None:
    """All instances are one route, and so are all unknown paths. The caller's sampled flag has no effect."""
    name, instance = "http.server.request.duration", "/events/instanceeventsforinstance/{party}/{guid}"
    with receiving() as receiver:
        settings = {**sending_to(receiver, ratio=0.0), "EVENTFEED_ADDRESS_REQUESTS": "100000"}
        with running_service(tmp_path, **settings) as service, httpx.Client(base_url=service.url) as client:
            for _ in range(1_000):
                client.post(f"/events/instanceeventsforinstance/50000001/{uuid.uuid4()}")
            for _ in range(20):
                client.get(f"/nowhere/{uuid.uuid4()}", headers={"traceparent": new_trace()[0]})
        series = {values: point.count for (metric, values), point in receiver.series.items() if metric == name}
        counts = [
            (dict(values)["http.route"], dict(values)["http.response.status_code"], n) for values, n in series.items()
        ]

    assert {(instance, 200, 1_000), ("unmatched", 404, 20)} <= set(counts)
    assert 4 > len(counts)
    assert [] == receiver.spans


def test_stop_sends_the_rest_of_the_telemetry(tmp_path: Path) -> None:
    """All measurements and spans before the stop reach the receiver."""
    with receiving() as receiver:
        settings = {**sending_to(receiver), "OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_METRIC_EXPORT_INTERVAL": "60000"}
        with running_service(tmp_path, **settings) as service:
            post_events(service, APP_PATH, app_event("bolig")).raise_for_status()
            assert 0 == stop(service)
        points = [point for (name, _), point in receiver.series.items() if name == "eventfeed.events.published"]

        assert any(span.name == "append" for span in receiver.spans)
        assert [1] == [point.as_int for point in points]


def test_receiver_that_hangs_delays_no_request(tmp_path: Path) -> None:
    """Requests get their responses, and the process stops within its time limit."""
    with receiving() as receiver, running_service(tmp_path, **sending_to(receiver)) as service:
        receiver.hang.set()
        start = time.monotonic()
        for _ in range(50):
            post_events(service, APP_PATH, app_event("bolig")).raise_for_status()
        seconds = time.monotonic() - start
        code = stop(service)

    assert seconds < HANG_SECONDS / 2
    assert 0 == code


def test_event_without_an_endpoint_has_only_its_publishers_trace(tmp_path: Path) -> None:
    """The service sends nothing, and gives events no trace of its own."""
    with running_service(tmp_path) as service:
        post_events(service, APP_PATH, app_event("bolig")).raise_for_status()
        traceparent, _ = new_trace()
        post_events(service, APP_PATH, app_event("bolig"), traceparent=traceparent).raise_for_status()
        first, second = read_app_feed(service, "bolig", "after=0").json()

    assert ("traceparent" in first, traceparent) == (False, second["traceparent"])


def test_repeat_in_another_trace_is_a_duplicate(tmp_path: Path) -> None:
    """An event with a trace keeps it, even if its request has another one."""
    with running_service(tmp_path) as service:
        own_trace, event = new_trace()[0], app_event("bolig", id="same")
        event_with_trace = app_event("bolig", traceparent=own_trace)
        receipts = [post_events(service, APP_PATH, event, traceparent=new_trace()[0]).json() for _ in range(2)]
        post_events(service, APP_PATH, event_with_trace, traceparent=new_trace()[0]).raise_for_status()
        page = read_app_feed(service, "bolig", "after=0").json()

    assert [False, True] == [receipt["duplicate"] for receipt in receipts]
    assert own_trace == page[1]["traceparent"]


def test_telemetry_contains_no_personal_data(tmp_path: Path) -> None:
    """Spans, measurements and log lines have no person number, cursor, event id or token, also after failures."""
    log_settings = {"EVENTFEED_LOG_LEVEL": "info", "EVENTFEED_LOG_FORMAT": "json"}
    with (
        receiving() as receiver,
        running_service(tmp_path, "--sample", **sending_to(receiver), **log_settings) as service,
    ):
        token = service.person_token(PERSON)
        body = {"after": "0", "person": PERSON}
        page = service.client.post("/events/api/v1/party", json=body, headers=bearer(token))
        service.client.get("/events/api/v1/app/party?after=0", headers={**bearer(token), "person": PERSON})
        service.client.get(f"/{PERSON}/nowhere?person={PERSON}")
        receiver.until(lambda: any(span.name == "decide" for span in receiver.spans))
        receiver.until(lambda: "eventfeed.decisions" in receiver.names())
        receiver.until(lambda: any("POST /events/api/v1/party 200" in line for line, _ in receiver.logs))
        output = (tmp_path / "output").read_bytes()
        lines = b"".join(line for line in output.splitlines() if line.startswith(b"{"))
        span_traces = {span.trace for span in receiver.spans}
        log_traces = [trace for line, trace in receiver.logs if line.startswith("POST /events/api/v1/party")]

    assert 200 == page.status_code
    assert page.json()
    for secret in (PERSON, token, page.headers["feed-cursor"], page.json()[0]["id"], "50000001"):
        assert secret.encode() not in b"".join(receiver.bodies)
        assert secret.encode() not in lines
    assert b'"message":"POST /events/api/v1/party 200"' in lines
    assert set(log_traces) <= span_traces


def _has_publish(receiver: Receiver, start: int) -> bool:
    """True if a row from this index on counts publishes."""
    return any(row["metrics"][0]["name"] == "eventfeed.events.published" for row in receiver.rows[start:])


def test_application_insights_receives_increments(tmp_path: Path) -> None:
    """Microsoft's exporter sends increments of sums, and buckets with their bounds."""
    with receiving() as receiver:
        connection = f"InstrumentationKey={uuid.uuid4()};IngestionEndpoint={receiver.url}/"
        settings = {**sending_to(receiver), "APPLICATIONINSIGHTS_CONNECTION_STRING": connection}
        with running_service(tmp_path, **settings) as service:
            for count in (2, 3):
                start = len(receiver.rows)
                post_events(service, APP_PATH, [app_event("bolig") for _ in range(count)]).raise_for_status()
                receiver.until(partial(_has_publish, receiver, start))
        metric_names = receiver.names()
        rows = [(row["metrics"][0], row["properties"]) for row in receiver.rows]

    publishes = [point["value"] for point, _ in rows if point["name"] == "eventfeed.events.published"]
    requests = [(point["count"], row) for point, row in rows if point["name"] == "eventfeed.request.duration"]
    posts = [(count, row["le"]) for count, row in requests if row["http.route"] == "/events/api/v1/app"]
    assert [2, 3] == publishes
    assert 2 == sum(count for count, _ in posts)
    assert all(float(bound) > 0 for _, bound in posts)
    assert set() == metric_names
