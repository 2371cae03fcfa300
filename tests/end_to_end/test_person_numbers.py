"""A person number appears in the bodies of events, and nowhere else."""

import base64
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.publishing import APP_PATH, EVENTS_PATH, PUBLISH_ADMIN_SCOPE, party_event, post_events
from tests.support.service import BANK, KARI, KARIS_PARTY, RunningService, bearer, running_service
from tests.support.waiting import wait_until

SCOPES = f"altinn:events/ttd altinn:events.subscribe altinn:events/reportees altinn:events.admin {PUBLISH_ADMIN_SCOPE}"
# This person is in no register and no event.
UNKNOWN_PERSON = "07018012345"


class Transcript:
    """Everything that a service sends apart from events: headers, problems, tokens."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, response: httpx.Response) -> None:
        """Record a response."""
        response.read()
        self.texts.append(repr(response.headers.multi_items()))
        if "cloudevents" not in response.headers.get("content-type", ""):
            self.texts.append(response.text)
        self.texts += [_decode(part) for part in response.text.split(".")] if response.text.count(".") == 2 else []


@pytest.fixture(params=[KARI, UNKNOWN_PERSON])
def number(request: pytest.FixtureRequest) -> str:
    """A person in the register, and an unknown person."""
    return str(request.param)


def wait_for_greeting(folder: Path) -> None:
    """Wait until the service has printed its sample commands."""
    wait_until(lambda: "S5" in (folder / "output").read_text())


def _decode(part: str) -> str:
    try:
        return base64.urlsafe_b64decode(part + "==").decode()
    except ValueError:
        return ""


def responses(service: RunningService, number: str) -> Iterator[httpx.Response]:
    """Send every kind of request with a person number, valid and invalid."""
    organisation = bearer(service.token(SCOPES))
    form = {"person": number, "level": "high", "scope": number}
    external = service.client.post("/development/id-porten/token", data={**form, "scope": "openid"}).text
    platform = service.exchange(external, provider="id-porten")
    yield platform
    yield service.exchange(external)
    person = bearer(platform.text) if platform.is_success else organisation
    for caller in (person, organisation):
        yield from _feed_responses(service, number, caller)
    yield from _problem_responses(service, number, organisation)


def _feed_responses(service: RunningService, number: str, caller: dict[str, str]) -> Iterator[httpx.Response]:
    body = {"after": "0", "person": number, "size": 2}
    first = service.client.post("/events/api/v1/party/", json=body, headers=caller)
    yield first
    if "next" in first.headers:
        yield service.client.post(first.headers["next"], json=body, headers=caller)
    headers = {**caller, "person": number}
    for path in ("app/party?", "app/ttd/numbers?", "reportees?eventType=estate.created&", "events?resource=x&"):
        yield service.client.get(f"/events/api/v1/{path}after=0&size=2", headers=headers)
    yield service.client.post(f"/events/instanceeventsforinstance/{KARIS_PARTY}/{uuid.uuid4()}", json={"after": "0"})


def _problem_responses(service: RunningService, number: str, caller: dict[str, str]) -> Iterator[httpx.Response]:
    yield service.client.get(f"/events/api/v1/app/ttd/numbers?after=0&person={number}", headers=caller)
    yield service.client.get(f"/events/api/v1/app/ttd/numbers?after={number}x", headers=caller)
    yield service.client.get(f"/events/api/v1/app/ttd/{number}?after=0&{number}=1", headers=caller)
    yield service.client.get(f"/events/api/v1/app/ttd/numbers?after=0&party={number}", headers=caller)
    yield service.client.post(f"/events/instanceeventsforinstance/{number}/{uuid.uuid4()}")
    yield service.client.get(f"/nowhere/{number}", headers=caller)
    yield service.client.get("/events/api/v1/app/party?after=0", headers={**caller, "person": f"{number}1"})
    yield service.client.post("/events/api/v1/party", json={"after": number + "y", number: 1}, headers=caller)
    yield service.client.post("/events/api/v1/party", json={"after": "0", "person": [number]}, headers=caller)
    yield service.client.post(f"/events/instanceeventsforinstance/{number}/x", json={"person": number})
    yield service.client.put(f"/events/api/v1/approvals/{number}", json={"reason": number}, headers=caller)
    yield post_events(service, APP_PATH, party_event("numbers", KARIS_PARTY, alternativesubject=f"/person/{number}x"))
    yield post_events(
        service, EVENTS_PATH, {"id": number, "source": f"https://x/{number}"}, media_type="application/cloudevents+json"
    )


def test_person_numbers_appear_in_event_bodies_only(tmp_path: Path, number: str) -> None:
    """No URL, header, cursor, problem, token, audit entry or log line contains the number."""
    transcript = Transcript()
    with running_service(tmp_path, "--sample") as service:
        wait_for_greeting(tmp_path)
        events = [party_event("numbers", KARIS_PARTY, alternativesubject=f"/person/{number}") for _ in range(5)]
        transcript.add(post_events(service, APP_PATH, events))
        for response in responses(service, number):
            transcript.add(response)
        commands = [service.run_command("scenarios"), service.run_command("audit"), service.run_command("settings")]
        commands += [service.run_command("token", "id-porten", "--person", "Kari", "--exchange")]
        outputs = [part.decode() for each in commands for part in (each.stdout, each.stderr)]
    outputs += [(tmp_path / "output").read_text(), *(_decode(part) for text in outputs for part in text.split("."))]

    assert 30 < len(transcript.texts)
    assert [] == [text for text in [*transcript.texts, *outputs] if number in text]


def test_search_finds_numbers_in_event_bodies(tmp_path: Path) -> None:
    """The search of the test above finds a number that the service sends."""
    with running_service(tmp_path, "--sample") as service:
        wait_for_greeting(tmp_path)
        body = {"after": "0", "person": KARI}
        page = service.client.post("/events/api/v1/party/", json=body, headers=bearer(service.person_token(KARI)))
        external = service.client.post("/development/id-porten/token", data={"person": KARI}).text

    assert KARI in page.text
    assert KARI in _decode(external.split(".")[1])
    assert re.search(r"S2: .*Kari", (tmp_path / "output").read_text())
    assert BANK in (tmp_path / "output").read_text()
