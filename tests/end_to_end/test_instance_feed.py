"""The events of an instance, for anyone with its id: reduced, uniform and limited in rate (contract S5)."""

import socket
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.feeds import assert_problem, event_ids
from tests.support.publishing import APP_PATH, EVENTS_PATH, party_event, post_events
from tests.support.service import KARIS_PARTY, RunningService, bearer, running_service

SAFE = {"id", "source", "type", "time", "specversion", "sequence"}
PREFIXES = ["/events", "/events/api/v1"]


@pytest.fixture
def instance(service: RunningService, app: str) -> str:
    """An instance with three events, the last of them feedback, with personal data in every event."""
    instance_id = f"{KARIS_PARTY}/{uuid.uuid4()}"
    source = f"https://ttd.apps.example.no/ttd/{app}/instances/{instance_id}"
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    extra = {"alternativesubject": "/person/01838012345", "data": {"secret": "it"}, "traceparent": trace}
    types = ["instance.created", "instance.process.completed", "instance.feedback.received"]
    events = [party_event(app, KARIS_PARTY, source=source, type=type_, **extra) for type_ in types]
    post_events(service, APP_PATH, events).raise_for_status()
    return instance_id


def read_instance(service: RunningService, instance: str, *, prefix: str = "/events", **body: object) -> httpx.Response:
    """Request the events of an instance without a token."""
    return service.client.post(f"{prefix}/instanceeventsforinstance/{instance}", json=body)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("spelling", ["whole", "guid", "capitals"])
def test_instance_id_gives_access_to_its_feedback_event(
    service: RunningService, instance: str, prefix: str, spelling: str
) -> None:
    """Both paths accept the guid with or without the party, and return safe attributes only."""
    name = {"whole": instance, "guid": instance.partition("/")[2], "capitals": instance.upper()}[spelling]
    events = read_instance(service, name, prefix=prefix).raise_for_status().json()

    assert "instance.feedback.received" == events[-1]["type"]
    assert [SAFE] * 3 == [event.keys() for event in events]


def test_instance_request_needs_no_body_and_no_cursor(service: RunningService, instance: str) -> None:
    """The default is the first event; cursor, times, types and size are optional."""
    path = f"/events/instanceeventsforinstance/{instance}"
    default_page = service.client.post(path)
    first = read_instance(service, instance, size=2)
    rest = service.client.post(first.headers["next"], json={"size": 2})

    assert event_ids(default_page) == [*event_ids(first), *event_ids(rest)]
    assert 1 == len(event_ids(read_instance(service, instance, eventType="instance.feedback.received")))
    assert [] == event_ids(read_instance(service, instance, **{"from": "2999-01-01T00:00:00Z"}))


def test_unknown_foreign_and_empty_instances_get_equal_pages(service: RunningService, instance: str) -> None:
    """Only the URL in the headers differs."""
    guid = instance.partition("/")[2]
    unknown_page = read_instance(service, f"{KARIS_PARTY}/{uuid.uuid4()}")
    foreign_page = read_instance(service, f"50000002/{guid}")
    empty_page = read_instance(service, instance, after=unknown_page.headers["feed-cursor"])
    names = ["feed-cursor", "feed-more", "content-type", "cache-control", "vary", "content-length"]

    assert 1 == len(
        {
            (each.status_code, each.content, *(each.headers[name] for name in names))
            for each in (unknown_page, foreign_page, empty_page)
        }
    )
    assert 1 == len({tuple(sorted(each.headers.keys())) for each in (unknown_page, foreign_page, empty_page)})


def test_token_does_not_change_the_instance_page(service: RunningService, instance: str) -> None:
    """Neither a valid nor an invalid token has an effect."""
    path = f"/events/instanceeventsforinstance/{instance}"
    tokens = [service.token("altinn:events/ttd"), "garbage"]

    assert {service.client.post(path).content} == {
        service.client.post(path, headers=bearer(token)).content for token in tokens
    }


@pytest.mark.parametrize("name", ["party", "unit", "person", "resource"])
def test_filters_by_party_or_person_are_rejected(service: RunningService, instance: str, name: str) -> None:
    """Such a filter could reveal the party of an instance."""
    problem = assert_problem(read_instance(service, instance, **{name: "01838012345"}), 400, "invalid-request")

    assert [{"pointer": f"/{name}", "detail": "is no parameter of this feed"}] == problem["errors"]


@pytest.mark.parametrize("instance", ["x", "50000001/x", "x/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c", "1/2/3", ""])
def test_malformed_instance_id_is_not_found(service: RunningService, instance: str) -> None:
    """The form of the id alone decides."""
    assert_problem(read_instance(service, instance), 404, "not-found")


def test_instance_attribute_adds_the_event_to_the_instance(service: RunningService, app: str) -> None:
    """The event belongs to the instance under its own party only."""
    guid = str(uuid.uuid4())
    event = {
        "specversion": "1.0",
        "id": app,
        "type": "t",
        "source": f"https://ttd.example.no/ttd/{app}",
        "resource": f"urn:altinn:resource:{app}",
        "resourceinstance": f"77/{guid.upper()}",
    }
    media_type = "application/cloudevents+json"
    post_events(
        service, EVENTS_PATH, event, scope="altinn:events.publish.admin", media_type=media_type
    ).raise_for_status()

    assert [app] == event_ids(read_instance(service, guid)) == event_ids(read_instance(service, f"77/{guid}"))
    assert [] == event_ids(read_instance(service, f"78/{guid}"))


def test_requests_of_one_address_are_limited(tmp_path: Path) -> None:
    """429 has `Retry-After`, and counts requests by the address in the trusted header."""
    settings = {"EVENTFEED_ADDRESS_REQUESTS": "5", "EVENTFEED_CLIENT_ADDRESS_HEADER": "X-Forwarded-For"}
    path = "/events/instanceeventsforinstance/{}"
    with running_service(tmp_path, **settings) as service:

        def statuses(address: str, count: int) -> list[int]:
            headers = {"X-Forwarded-For": f"192.0.2.200, {address}"}
            return [service.client.post(path.format(uuid.uuid4()), headers=headers).status_code for _ in range(count)]

        first, other = statuses("192.0.2.1", 7), statuses("192.0.2.2", 5)
        network = [*statuses("2001:db8::1", 3), *statuses("2001:db8::2", 3)]
        response = service.client.post(path.format(uuid.uuid4()), headers={"X-Forwarded-For": "192.0.2.1"})
        invalid_id_response = service.client.post(path.format("x" * 500), headers={"X-Forwarded-For": "192.0.2.1"})

    assert ([200] * 5 + [429] * 2, [200] * 5) == (first, other)
    assert [200] * 5 + [429] == network
    assert_problem(response, 429, "too-many-requests")
    assert_problem(invalid_id_response, 429, "too-many-requests")
    assert 1 <= int(response.headers["retry-after"]) <= 12


def test_untrusted_address_header_is_ignored(tmp_path: Path) -> None:
    """Without the setting, the address of the connection counts."""
    with running_service(tmp_path, EVENTFEED_ADDRESS_REQUESTS="3") as service:
        statuses = [
            service.client.post(
                f"/events/instanceeventsforinstance/{uuid.uuid4()}", headers={"X-Forwarded-For": f"192.0.2.{number}"}
            ).status_code
            for number in range(4)
        ]

    assert [200, 200, 200, 429] == statuses


def test_oversized_body_is_rejected_with_413(service: RunningService, instance: str) -> None:
    """The size is checked before the JSON."""
    path = f"/events/instanceeventsforinstance/{instance}"
    headers = {"Content-Type": "application/json"}
    response = service.client.post(path, content=b'{"a":' + b"[" * 20_000, headers=headers)

    assert_problem(response, 413, "too-large")


def test_request_that_breaks_off_logs_no_error(tmp_path: Path) -> None:
    """A client that disconnects causes neither a traceback nor an error entry."""
    with running_service(tmp_path) as service:
        address = urlsplit(service.url)
        with socket.create_connection((address.hostname, address.port or 0)) as connection:
            head = f"POST /events/instanceeventsforinstance/{uuid.uuid4()} HTTP/1.1"
            connection.sendall(f"{head}\r\nHost: {address.netloc}\r\nContent-Length: 100\r\n\r\n{{".encode())
        service.client.get("/health/live").raise_for_status()
    output = (tmp_path / "output").read_text()

    assert "error" not in output.lower()
    assert "Traceback" not in output


def test_requests_for_one_instance_are_limited(tmp_path: Path) -> None:
    """Every spelling of the guid counts for the same instance."""
    guid = str(uuid.uuid4())
    with running_service(tmp_path, EVENTFEED_INSTANCE_REQUESTS="3") as service:
        spellings = [guid, guid.upper(), f"1/{guid}", f"2/{guid}"]
        statuses = [read_instance(service, spelling).status_code for spelling in spellings]
        other = read_instance(service, str(uuid.uuid4()))

    assert [200, 200, 200, 429] == statuses
    assert 200 == other.status_code
