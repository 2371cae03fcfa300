"""What decisions cost: pages of a party and over many parties, over the app's own page of the same events."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

from loadtests.benchmark.events import APP, BATCH_EVENTS, FEED, PUBLISH, TYPE, authorized, event
from loadtests.benchmark.figures import ROUNDS, Figure, compared
from loadtests.benchmark.pages import PAGE_EVENTS, rate
from loadtests.benchmark.serving import Server, service

PAGES = 60
PARTIES = PAGES * PAGE_EVENTS
ORGANISATION = "310000022"

_FIRST = 60_000_001
_SUBSCRIBER = "altinn:events.subscribe altinn:events/ttd altinn:events.publish"
_RESOURCE = f"urn:altinn:resource:app_{APP.replace('/', '_')}"


def party_figures(folder: Path) -> Iterator[Figure]:
    """Pages of 50 events: of one party; over 50 parties decided before; over 50 parties decided now."""
    register = folder / "register.json"
    register.write_text(json.dumps(_population()))
    with service(folder, EVENTFEED_REGISTER=str(register)) as server:
        publisher = authorized(server, scopes=_SUBSCRIBER)
        for start in range(0, PARTIES, BATCH_EVENTS):
            parties = [_FIRST + start + number for number in range(BATCH_EVENTS)]
            _publish(server, publisher, parties=parties)
        _publish(server, publisher, parties=[_FIRST] * PAGE_EVENTS)
        reader = authorized(server, organisation=ORGANISATION, scopes=_SUBSCRIBER)
        party = f"/events/api/v1/app/party?party={_FIRST}&after=0&size={PAGE_EVENTS}"
        own = f"{FEED}?after=0&size={PAGE_EVENTS}"
        yield compared(
            f"page of {PAGE_EVENTS} of a party, decided before, from the store / the app's own page",
            lambda: rate(f"{server.url}{party}", reader, status=200),
            bare=lambda: rate(f"{server.url}{own}", publisher, status=200),
        )
        yield from _walks(server, publisher, reader=reader)


def _walks(server: Server, publisher: dict[str, str], *, reader: dict[str, str]) -> Iterator[Figure]:
    """One caller walks all pages one by one: the first time everything is decided, then everything is known."""
    resource = f"/events/api/v1/events?resource={_RESOURCE}"
    decided = _pages_a_second(server, resource, headers=reader)
    known, own = list[float](), list[float]()
    for _ in range(ROUNDS):
        known.append(_pages_a_second(server, resource, headers=reader))
        own.append(_pages_a_second(server, f"{FEED}?type={TYPE}", headers=publisher))
    best = max(own)
    name = f"page of {PAGE_EVENTS} over {PAGE_EVENTS} parties, {{}} / the app's own page, one caller"
    yield Figure(name=name.format("decided now"), ours=decided, bare=best, ratio=decided / best, unit="1/s")
    known_best = max(known)
    yield Figure(name=name.format("decided before"), ours=known_best, bare=best, ratio=known_best / best, unit="1/s")


def _pages_a_second(server: Server, path: str, *, headers: dict[str, str]) -> float:
    """Full pages a second, following the cursors from the beginning."""
    cursor, started = "0", time.perf_counter()
    for _ in range(PAGES):
        answer = server.client.get(f"{path}&size={PAGE_EVENTS}&after={cursor}", headers=headers).raise_for_status()
        if len(answer.content) < PAGE_EVENTS * len(_RESOURCE):
            raise RuntimeError(f"the page is not full: {answer.text[:200]}")
        cursor = answer.headers["feed-cursor"]
    return PAGES / (time.perf_counter() - started)


def _publish(server: Server, headers: dict[str, str], *, parties: list[int]) -> None:
    body = b"[%b]" % b",".join(event(party=party) for party in parties)
    sent = {**headers, "Content-Type": "application/json"}
    server.client.post(PUBLISH, content=body, headers=sent).raise_for_status()


def _population() -> dict[str, object]:
    parties = [str(_FIRST + number) for number in range(PARTIES)]
    clients = [
        {"number": str(400_000_000 + number), "party": party, "name": party} for number, party in enumerate(parties)
    ]
    reader = {"number": ORGANISATION, "party": "51000022", "name": "reader", "acts_for": parties}
    owner = {"number": "991825827", "party": "50002001", "name": "owner", "org": "ttd"}
    return {"organisations": [owner, reader, *clients], "people": []}
