"""A person number is in the bodies of events, and nowhere else."""

import base64
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.test_party_feed import about
from tests.end_to_end.test_publishing import ADMIN, APP, EVENTS, post
from tests.support.service import BANK, KARI, KARIS_PARTY, Served, bearer, serving

SCOPES = f"altinn:events/ttd altinn:events.subscribe altinn:events/reportees altinn:events.admin {ADMIN}"
# In no register, in no event.
UNKNOWN = "07018012345"


class Overheard:
    """Everything that a service says but the bodies of events: URLs it makes, headers, problems, tokens."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def hear(self, answer: httpx.Response) -> None:
        """Take note of an answer."""
        answer.read()
        self.said.append(repr(answer.headers.multi_items()))
        if "cloudevents" not in answer.headers.get("content-type", ""):
            self.said.append(answer.text)
        self.said += [_decoded(part) for part in answer.text.split(".")] if answer.text.count(".") == 2 else []


@pytest.fixture(params=[KARI, UNKNOWN])
def number(request: pytest.FixtureRequest) -> str:
    """A person whom the register knows, and one whom nobody does."""
    return str(request.param)


def greeted(folder: Path) -> None:
    """Wait until the service has said what can be pasted."""
    while "S5" not in (folder / "output").read_text():
        time.sleep(0.05)


def _decoded(part: str) -> str:
    try:
        return base64.urlsafe_b64decode(part + "==").decode()
    except ValueError:
        return ""


def asked(served: Served, number: str) -> Iterator[httpx.Response]:
    """Everything that can be asked with a person number, rightly and wrongly."""
    organisation = bearer(served.token(SCOPES))
    form = {"person": number, "level": "high", "scope": number}
    external = served.client.post("/development/id-porten/token", data={**form, "scope": "openid"}).text
    exchanged = served.exchanged(external, provider="id-porten")
    yield exchanged
    yield served.exchanged(external)
    person = bearer(exchanged.text) if exchanged.is_success else organisation
    for caller in (person, organisation):
        yield from _feeds(served, number, caller)
    yield from _wrong(served, number, organisation)


def _feeds(served: Served, number: str, caller: dict[str, str]) -> Iterator[httpx.Response]:
    body = {"after": "0", "person": number, "size": 2}
    first = served.client.post("/events/api/v1/party/", json=body, headers=caller)
    yield first
    if "next" in first.headers:
        yield served.client.post(first.headers["next"], json=body, headers=caller)
    headers = {**caller, "person": number}
    for path in ("app/party?", "app/ttd/numbers?", "reportees?eventType=estate.created&", "events?resource=x&"):
        yield served.client.get(f"/events/api/v1/{path}after=0&size=2", headers=headers)
    yield served.client.post(f"/events/instanceeventsforinstance/{KARIS_PARTY}/{uuid.uuid4()}", json={"after": "0"})


def _wrong(served: Served, number: str, caller: dict[str, str]) -> Iterator[httpx.Response]:
    yield served.client.get(f"/events/api/v1/app/ttd/numbers?after=0&person={number}", headers=caller)
    yield served.client.get(f"/events/api/v1/app/ttd/numbers?after={number}x", headers=caller)
    yield served.client.get(f"/events/api/v1/app/ttd/{number}?after=0&{number}=1", headers=caller)
    yield served.client.get(f"/events/api/v1/app/ttd/numbers?after=0&party={number}", headers=caller)
    yield served.client.post(f"/events/instanceeventsforinstance/{number}/{uuid.uuid4()}")
    yield served.client.get(f"/nowhere/{number}", headers=caller)
    yield served.client.get("/events/api/v1/app/party?after=0", headers={**caller, "person": f"{number}1"})
    yield served.client.post("/events/api/v1/party", json={"after": number + "y", number: 1}, headers=caller)
    yield served.client.post("/events/api/v1/party", json={"after": "0", "person": [number]}, headers=caller)
    yield served.client.post(f"/events/instanceeventsforinstance/{number}/x", json={"person": number})
    yield served.client.put(f"/events/api/v1/approvals/{number}", json={"reason": number}, headers=caller)
    yield post(served, APP, about("numbers", KARIS_PARTY, alternativesubject=f"/person/{number}x"))
    yield post(
        served, EVENTS, {"id": number, "source": f"https://x/{number}"}, media_type="application/cloudevents+json"
    )


def test_no_person_number_but_in_the_bodies_of_events(tmp_path: Path, number: str) -> None:
    """Not in a URL that the service makes, a header, a cursor, a problem, a token, the audit log or any log line."""
    overheard = Overheard()
    with serving(tmp_path, "--sample") as served:
        greeted(tmp_path)
        events = [about("numbers", KARIS_PARTY, alternativesubject=f"/person/{number}") for _ in range(5)]
        overheard.hear(post(served, APP, events))
        for answer in asked(served, number):
            overheard.hear(answer)
        walked = [served.command("scenarios"), served.command("audit"), served.command("settings")]
        walked += [served.command("token", "id-porten", "--person", "Kari", "--exchange")]
        outputs = [part.decode() for each in walked for part in (each.stdout, each.stderr)]
    outputs += [(tmp_path / "output").read_text(), *(_decoded(part) for text in outputs for part in text.split("."))]

    assert 30 < len(overheard.said)
    assert [] == [said for said in [*overheard.said, *outputs] if number in said]


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    """Bodies of events do hold the number: what is searched is really what was said."""
    with serving(tmp_path, "--sample") as served:
        greeted(tmp_path)
        body = {"after": "0", "person": KARI}
        page = served.client.post("/events/api/v1/party/", json=body, headers=bearer(served.person_token(KARI)))
        external = served.client.post("/development/id-porten/token", data={"person": KARI}).text

    assert KARI in page.text
    assert KARI in _decoded(external.split(".")[1])
    assert re.search(r"S2: .*Kari", (tmp_path / "output").read_text())
    assert BANK in (tmp_path / "output").read_text()
