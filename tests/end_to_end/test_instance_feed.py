"""An instance's events for anyone who holds its id: reduced, alike, and limited (contract S5)."""

import socket
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.end_to_end.test_party_feed import about, ids
from tests.end_to_end.test_publishing import APP, EVENTS, post, refused
from tests.support.service import KARIS_PARTY, Served, bearer, serving

SAFE = {"id", "source", "type", "time", "specversion", "sequence"}
PLACES = ["/events", "/events/api/v1"]


@pytest.fixture
def instance(served: Served, app: str) -> str:
    """An instance with three events, the last of them feedback, full of what is not for everyone."""
    place = f"{KARIS_PARTY}/{uuid.uuid4()}"
    source = f"https://ttd.apps.example.no/ttd/{app}/instances/{place}"
    extra = {"alternativesubject": "/person/01838012345", "data": {"secret": "it"}, "traceparent": "00-1-2-03"}
    types = ["instance.created", "instance.process.completed", "instance.feedback.received"]
    events = [about(app, KARIS_PARTY, source=source, type=type_, **extra) for type_ in types]
    post(served, APP, events).raise_for_status()
    return place


def ask(served: Served, instance: str, *, place: str = "/events", **body: object) -> httpx.Response:
    """What anyone sees of an instance."""
    return served.client.post(f"{place}/instanceeventsforinstance/{instance}", json=body)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("spelling", ["whole", "guid", "capitals"])
def test_whoever_holds_the_id_hears_of_feedback(served: Served, instance: str, place: str, spelling: str) -> None:
    """At both paths, by party and guid or the guid alone, with nothing but what is safe."""
    named = {"whole": instance, "guid": instance.partition("/")[2], "capitals": instance.upper()}[spelling]
    events = ask(served, named, place=place).raise_for_status().json()

    assert "instance.feedback.received" == events[-1]["type"]
    assert [SAFE] * 3 == [event.keys() for event in events]


def test_it_needs_no_body_and_no_start(served: Served, instance: str) -> None:
    """It starts at the beginning; a cursor, times, types and a size are understood."""
    path = f"/events/instanceeventsforinstance/{instance}"
    bare = served.client.post(path)
    first = ask(served, instance, size=2)
    rest = served.client.post(first.headers["next"], json={"size": 2})

    assert ids(bare) == [*ids(first), *ids(rest)]
    assert 1 == len(ids(ask(served, instance, eventType="instance.feedback.received")))
    assert [] == ids(ask(served, instance, **{"from": "2999-01-01T00:00:00Z"}))


def test_unknown_foreign_and_empty_instances_look_alike(served: Served, instance: str) -> None:
    """One that never was, one under another party's id, one asked about after its end: the same but for the URL."""
    guid = instance.partition("/")[2]
    unknown, foreign = ask(served, f"{KARIS_PARTY}/{uuid.uuid4()}"), ask(served, f"50000002/{guid}")
    empty = ask(served, instance, after=unknown.headers["feed-cursor"])
    told = ["feed-cursor", "feed-more", "content-type", "cache-control", "vary", "content-length"]

    assert 1 == len(
        {(each.status_code, each.content, *(each.headers[name] for name in told)) for each in (unknown, foreign, empty)}
    )
    assert 1 == len({tuple(sorted(each.headers.keys())) for each in (unknown, foreign, empty)})


def test_a_token_changes_nothing(served: Served, instance: str) -> None:
    """Not a good one, and not a bad one."""
    path = f"/events/instanceeventsforinstance/{instance}"
    tokens = [served.token("altinn:events/ttd"), "garbage"]

    assert {served.client.post(path).content} == {
        served.client.post(path, headers=bearer(token)).content for token in tokens
    }


@pytest.mark.parametrize("name", ["party", "unit", "person", "resource"])
def test_nobody_is_told_who_stands_behind_an_instance(served: Served, instance: str, name: str) -> None:
    """A filter by party or person would be a question about them."""
    problem = refused(ask(served, instance, **{name: "01838012345"}), 400, "invalid-request")

    assert [{"pointer": f"/{name}", "detail": "is no parameter of this feed"}] == problem["errors"]


@pytest.mark.parametrize("instance", ["x", "50000001/x", "x/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c", "1/2/3", ""])
def test_what_cannot_be_an_instance_is_not_there(served: Served, instance: str) -> None:
    """404, for the form of the id alone."""
    refused(ask(served, instance), 404, "not-found")


def test_an_instance_that_an_admins_event_names(served: Served, app: str) -> None:
    """An event that names its instance as an attribute belongs to it too, under its own party alone."""
    guid = str(uuid.uuid4())
    event = {
        "specversion": "1.0",
        "id": app,
        "type": "t",
        "source": f"https://ttd.example.no/ttd/{app}",
        "resourceinstance": f"77/{guid.upper()}",
    }
    media_type = "application/cloudevents+json"
    post(served, EVENTS, event, scope="altinn:events.publish.admin", media_type=media_type).raise_for_status()

    assert [app] == ids(ask(served, guid)) == ids(ask(served, f"77/{guid}"))
    assert [] == ids(ask(served, f"78/{guid}"))


def test_one_address_may_not_ask_for_ever(tmp_path: Path) -> None:
    """429 with Retry-After for whichever instances, counted by the address that the trusted header names."""
    settings = {"EVENTFEED_ADDRESS_REQUESTS": "5", "EVENTFEED_CLIENT_ADDRESS_HEADER": "X-Forwarded-For"}
    path = "/events/instanceeventsforinstance/{}"
    with serving(tmp_path, **settings) as served:

        def statuses(address: str, count: int) -> list[int]:
            headers = {"X-Forwarded-For": f"192.0.2.200, {address}"}
            return [served.client.post(path.format(uuid.uuid4()), headers=headers).status_code for _ in range(count)]

        first, other = statuses("192.0.2.1", 7), statuses("192.0.2.2", 5)
        network = [*statuses("2001:db8::1", 3), *statuses("2001:db8::2", 3)]
        answer = served.client.post(path.format(uuid.uuid4()), headers={"X-Forwarded-For": "192.0.2.1"})
        nothing = served.client.post(path.format("x" * 500), headers={"X-Forwarded-For": "192.0.2.1"})

    assert ([200] * 5 + [429] * 2, [200] * 5) == (first, other)
    assert [200] * 5 + [429] == network
    refused(answer, 429, "too-many-requests")
    refused(nothing, 429, "too-many-requests")
    assert 1 <= int(answer.headers["retry-after"]) <= 12


def test_a_header_that_is_not_trusted_is_not_believed(tmp_path: Path) -> None:
    """Without the setting the connection's own address counts, whatever the caller says."""
    with serving(tmp_path, EVENTFEED_ADDRESS_REQUESTS="3") as served:
        statuses = [
            served.client.post(
                f"/events/instanceeventsforinstance/{uuid.uuid4()}", headers={"X-Forwarded-For": f"192.0.2.{number}"}
            ).status_code
            for number in range(4)
        ]

    assert [200, 200, 200, 429] == statuses


def test_what_is_asked_is_small(served: Served, instance: str) -> None:
    """A body that nobody needs is refused before it is read as JSON; what is no instance counts for its address."""
    path = f"/events/instanceeventsforinstance/{instance}"
    headers = {"Content-Type": "application/json"}
    answer = served.client.post(path, content=b'{"a":' + b"[" * 20_000, headers=headers)

    refused(answer, 413, "too-large")


def test_a_body_that_breaks_off_is_no_defect(tmp_path: Path) -> None:
    """Whoever hangs up has asked for nothing; nobody is woken."""
    with serving(tmp_path) as served:
        where = urlsplit(served.url)
        with socket.create_connection((where.hostname, where.port or 0)) as line:
            head = f"POST /events/instanceeventsforinstance/{uuid.uuid4()} HTTP/1.1"
            line.sendall(f"{head}\r\nHost: {where.netloc}\r\nContent-Length: 100\r\n\r\n{{".encode())
        served.client.get("/health/live").raise_for_status()
    output = (tmp_path / "output").read_text()

    assert "defect" not in output
    assert "Traceback" not in output


def test_one_instance_may_not_be_asked_for_ever(tmp_path: Path) -> None:
    """However its guid is spelt, and whoever asks."""
    guid = str(uuid.uuid4())
    with serving(tmp_path, EVENTFEED_INSTANCE_REQUESTS="3") as served:
        spellings = [guid, guid.upper(), f"1/{guid}", f"2/{guid}"]
        statuses = [ask(served, spelling).status_code for spelling in spellings]
        other = ask(served, str(uuid.uuid4()))

    assert [200, 200, 200, 429] == statuses
    assert 200 == other.status_code
