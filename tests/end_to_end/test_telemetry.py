"""What a real receiver gets of a real service: one event's way, routes without ids, and nothing that is not wanted."""

import time
import uuid
from functools import partial
from pathlib import Path

import httpx

from tests.support.feeds import read_app_feed
from tests.support.otlp_receiver import Receiver, agent, receiving, sending_to
from tests.support.publishing import APP_PATH, app_event, post_events
from tests.support.service import bearer, running_service, stop

SERVER = 2
PERSON = "01838012345"


def traceparent(flags: str = "01") -> tuple[str, str]:
    """A trace of a publisher's own, and its id."""
    trace = uuid.uuid4().hex
    return f"00-{trace}-{uuid.uuid4().hex[:16]}-{flags}", trace


def test_one_event_is_followed_from_publisher_to_reader(tmp_path: Path) -> None:
    """The publisher's trace id is on its request, on the write, in the event, and on the link of whoever reads it."""
    sent, trace = traceparent()
    with receiving() as receiver, running_service(tmp_path, **sending_to(receiver)) as service:
        post_events(service, APP_PATH, app_event("bolig"), traceparent=sent).raise_for_status()
        page = read_app_feed(service, "bolig", "after=0").json()
        receiver.until(lambda: any(trace in span.links for span in receiver.spans))
        spans = [span for span in receiver.spans if span.trace == trace]
        (reading,) = (span for span in receiver.spans if trace in span.links)

    names = {span.name: span for span in spans}
    assert sent == page[0]["traceparent"]
    assert {"POST /events/api/v1/app", "append", "find"} == set(names)
    assert names["append"].parent == names["POST /events/api/v1/app"].id
    assert names["find"].parent == names["append"].id
    assert [{"db.system.name": "sqlite"}, {"eventfeed.engine": "sqlite"}] == [
        names[name].attributes for name in ("find", "append")
    ]
    assert ("GET /events/api/v1/app/{org}/{app}", SERVER) == (reading.name, reading.kind)
    assert {
        "http.request.method": "POST",
        "http.route": "/events/api/v1/app",
        "http.response.status_code": 201,
    } == names["POST /events/api/v1/app"].attributes


def test_an_agent_that_speaks_grpc_gets_spans_and_logs(tmp_path: Path) -> None:
    """As whoever runs containers puts one beside the service, and tells it by the SDK's own settings where it is."""
    with receiving() as receiver, agent(receiver) as endpoint:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        settings = {**sending_to(receiver), **told, "OTEL_BLRP_SCHEDULE_DELAY": "100", "EVENTFEED_LOG_LEVEL": "info"}
        with running_service(tmp_path, **settings) as service:
            read_app_feed(service, "bolig", "after=0").raise_for_status()
            route = "GET /events/api/v1/app/{org}/{app}"
            receiver.until(lambda: any(span.name == route for span in receiver.spans))
            receiver.until(lambda: any(line.startswith(route) for line, _ in receiver.logs))

            assert set() == receiver.names()


def test_an_exchange_is_traced_with_the_keys_that_it_asked_for(tmp_path: Path) -> None:
    """Once: they are kept."""
    with receiving() as receiver, running_service(tmp_path, **sending_to(receiver)) as service:
        for scope in ("altinn:events/ttd", "altinn:events/skd"):
            service.token(scope)
        receiver.until(lambda: ["exchange"] * 2 == [span.name for span in receiver.spans if span.name == "exchange"])
        first, _ = (span for span in receiver.spans if span.name == "exchange")
        (keys,) = (span for span in receiver.spans if span.name == "verify keys")

    assert (first.trace, first.id) == (keys.trace, keys.parent)


def test_ids_make_no_series(tmp_path: Path) -> None:
    """A thousand instances are one route; paths that nobody has are one; a trace from outside forces nothing."""
    name, instance = "http.server.request.duration", "/events/instanceeventsforinstance/{party}/{guid}"
    with receiving() as receiver:
        settings = {**sending_to(receiver, ratio=0.0), "EVENTFEED_ADDRESS_REQUESTS": "100000"}
        with running_service(tmp_path, **settings) as service, httpx.Client(base_url=service.url) as client:
            for _ in range(1_000):
                client.post(f"/events/instanceeventsforinstance/50000001/{uuid.uuid4()}")
            for _ in range(20):
                client.get(f"/nowhere/{uuid.uuid4()}", headers={"traceparent": traceparent()[0]})
        series = {values: point.count for (metric, values), point in receiver.series.items() if metric == name}
        counts = [
            (dict(values)["http.route"], dict(values)["http.response.status_code"], n) for values, n in series.items()
        ]

    assert {(instance, 200, 1_000), ("unmatched", 404, 20)} <= set(counts)
    assert 4 > len(counts)
    assert [] == receiver.spans


def test_a_stop_sends_what_is_left(tmp_path: Path) -> None:
    """Nothing measured or traced before it is lost."""
    with receiving() as receiver:
        settings = {**sending_to(receiver), "OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_METRIC_EXPORT_INTERVAL": "60000"}
        with running_service(tmp_path, **settings) as service:
            post_events(service, APP_PATH, app_event("bolig")).raise_for_status()
            assert 0 == stop(service)
        published = [point for (name, _), point in receiver.series.items() if name == "eventfeed.events.published"]

        assert any(span.name == "append" for span in receiver.spans)
        assert [1] == [point.as_int for point in published]


def test_a_receiver_that_is_away_or_silent_holds_up_nobody(tmp_path: Path) -> None:
    """Requests are answered, and the process stops in its time."""
    with receiving() as receiver, running_service(tmp_path, **sending_to(receiver)) as service:
        receiver.silent.set()
        started = time.monotonic()
        for _ in range(50):
            post_events(service, APP_PATH, app_event("bolig")).raise_for_status()
        seconds = time.monotonic() - started
        code = stop(service)

    assert seconds < 15
    assert 0 == code


def test_without_an_endpoint_nothing_is_sent_and_nothing_changes(tmp_path: Path) -> None:
    """An event has a trace only when its publisher gave it one."""
    with running_service(tmp_path) as service:
        post_events(service, APP_PATH, app_event("bolig")).raise_for_status()
        sent, _ = traceparent()
        post_events(service, APP_PATH, app_event("bolig"), traceparent=sent).raise_for_status()
        first, second = read_app_feed(service, "bolig", "after=0").json()

    assert ("traceparent" in first, sent) == (False, second["traceparent"])


def test_an_events_own_trace_is_kept_and_a_repeat_is_one(tmp_path: Path) -> None:
    """Whatever trace it is repeated in."""
    with running_service(tmp_path) as service:
        own, event = traceparent()[0], app_event("bolig", id="same")
        traced = app_event("bolig", traceparent=own)
        receipts = [post_events(service, APP_PATH, event, traceparent=traceparent()[0]).json() for _ in range(2)]
        post_events(service, APP_PATH, traced, traceparent=traceparent()[0]).raise_for_status()
        page = read_app_feed(service, "bolig", "after=0").json()

    assert [False, True] == [receipt["duplicate"] for receipt in receipts]
    assert own == page[1]["traceparent"]


def test_nothing_that_is_sent_tells_of_a_person(tmp_path: Path) -> None:
    """Whatever was asked, and however it failed: no number, cursor, id or token."""
    told = {"EVENTFEED_LOG_LEVEL": "info", "EVENTFEED_LOG_FORMAT": "json"}
    with receiving() as receiver, running_service(tmp_path, "--sample", **sending_to(receiver), **told) as service:
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
        traces = {span.trace for span in receiver.spans}
        asked = [trace for line, trace in receiver.logs if line.startswith("POST /events/api/v1/party")]

    assert 200 == page.status_code
    assert page.json()
    for secret in (PERSON, token, page.headers["feed-cursor"], page.json()[0]["id"], "50000001"):
        assert secret.encode() not in b"".join(receiver.bodies)
        assert secret.encode() not in lines
    assert b'"message":"POST /events/api/v1/party 200"' in lines
    assert set(asked) <= traces


def _published(receiver: Receiver, seen: int) -> bool:
    """Whether it was told of publishes after the rows that were `seen`."""
    return any(row["metrics"][0]["name"] == "eventfeed.events.published" for row in receiver.rows[seen:])


def test_application_insights_gets_what_came_since_the_last_time(tmp_path: Path) -> None:
    """By Microsoft's exporter, over the wire: sums that add up to what happened; buckets with their bounds."""
    with receiving() as receiver:
        connection = f"InstrumentationKey={uuid.uuid4()};IngestionEndpoint={receiver.url}/"
        settings = {**sending_to(receiver), "APPLICATIONINSIGHTS_CONNECTION_STRING": connection}
        with running_service(tmp_path, **settings) as service:
            for count in (2, 3):
                seen = len(receiver.rows)
                post_events(service, APP_PATH, [app_event("bolig") for _ in range(count)]).raise_for_status()
                receiver.until(partial(_published, receiver, seen))
        series = receiver.names()
        rows = [(row["metrics"][0], row["properties"]) for row in receiver.rows]

    published = [point["value"] for point, _ in rows if point["name"] == "eventfeed.events.published"]
    requests = [(point["count"], row) for point, row in rows if point["name"] == "eventfeed.request.duration"]
    posts = [(count, row["le"]) for count, row in requests if row["http.route"] == "/events/api/v1/app"]
    assert [2, 3] == published
    assert 2 == sum(count for count, _ in posts)
    assert all(float(bound) > 0 for _, bound in posts)
    assert set() == series
