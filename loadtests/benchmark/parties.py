"""What decisions cost: pages of a party and over many parties, over the app's own page of the same events."""

import functools
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from loadtests.benchmark.effort import Effort
from loadtests.benchmark.events import APP, FEED, PUBLISH, TYPE, authorized, event
from loadtests.benchmark.figures import Figure, compared, with_workers
from loadtests.benchmark.pages import PAGE_EVENTS, rate
from loadtests.benchmark.serving import Server, service

ORGANISATION = "310000022"

_FIRST = 60_000_001
_SUBSCRIBER = "altinn:events.subscribe altinn:events/ttd altinn:events.publish"
_RESOURCE = f"urn:altinn:resource:app_{APP.replace('/', '_')}"


def party_figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    """Pages of 50 events: of one party; over 50 parties decided before; over 50 parties decided now."""
    register = folder / "register.json"
    register.write_text(json.dumps(_population(effort.party_pages * PAGE_EVENTS)))
    settings = {"EVENTFEED_REGISTER": str(register)}
    with service(folder, settings) as server:
        publisher = authorized(server, scopes=_SUBSCRIBER)
        for page in range(effort.party_pages):
            first = _FIRST + page * PAGE_EVENTS
            _publish(server, publisher, parties=range(first, first + PAGE_EVENTS))
        _publish(server, publisher, parties=[_FIRST] * PAGE_EVENTS)
    for workers in effort.workers:
        with service(folder, settings, workers=workers) as server:
            yield from _read(server, effort)


def _read(server: Server, effort: Effort) -> Iterator[Figure]:
    """Many callers ask for one page; then one caller walks all of them."""
    owner = authorized(server, scopes=_SUBSCRIBER)
    reader = authorized(server, organisation=ORGANISATION, scopes=_SUBSCRIBER)
    party = f"/events/api/v1/app/party?party={_FIRST}&after=0&size={PAGE_EVENTS}"
    own = f"{FEED}?after=0&size={PAGE_EVENTS}"
    asking = functools.partial(rate, status=200, seconds=effort.page_seconds)
    yield compared(
        f"page of {PAGE_EVENTS} of a party, decided before, from the store / the app's own page"
        + with_workers(server.workers),
        functools.partial(asking, f"{server.url}{party}", reader),
        bare=functools.partial(asking, f"{server.url}{own}", owner),
        rounds=effort.rounds,
    )
    yield from _walks(server, owner, reader=reader, effort=effort)


def _walks(server: Server, owner: Mapping[str, str], *, reader: Mapping[str, str], effort: Effort) -> Iterator[Figure]:
    """One caller walks all pages one by one: the first time everything is decided, then everything is known."""
    resource = f"/events/api/v1/events?resource={_RESOURCE}"
    walked = functools.partial(_pages_a_second, server, pages=effort.party_pages)
    decided = walked(resource, headers=reader)
    known, own = list[float](), list[float]()
    for _ in range(effort.rounds):
        known.append(walked(resource, headers=reader))
        own.append(walked(f"{FEED}?type={TYPE}", headers=owner))
    for when, ours in (("now", decided), ("before", max(known))):
        yield Figure(
            name=f"page of {PAGE_EVENTS} over {PAGE_EVENTS} parties, decided {when} / the app's own page, one caller"
            + with_workers(server.workers),
            ours=ours,
            bare=max(own),
            ratio=ours / max(own),
            unit="1/s",
        )


def _pages_a_second(server: Server, path: str, *, headers: Mapping[str, str], pages: int) -> float:
    """Full pages a second, following the cursors from the beginning."""
    cursor, started = "0", time.perf_counter()
    for _ in range(pages):
        answer = server.client.get(
            f"{path}&size={PAGE_EVENTS}&after={cursor}", headers=dict(headers)
        ).raise_for_status()
        if len(answer.content) < PAGE_EVENTS * len(_RESOURCE):
            raise RuntimeError(f"the page is not full: {answer.text[:200]}")
        cursor = answer.headers["feed-cursor"]
    return pages / (time.perf_counter() - started)


def _publish(server: Server, headers: Mapping[str, str], *, parties: Iterable[int]) -> None:
    body = b"[%b]" % b",".join(event(party=party) for party in parties)
    sent = {**headers, "Content-Type": "application/json"}
    server.client.post(PUBLISH, content=body, headers=sent).raise_for_status()


def _population(count: int) -> dict[str, object]:
    parties = [str(_FIRST + number) for number in range(count)]
    clients = [
        {"number": str(400_000_000 + number), "party": party, "name": party} for number, party in enumerate(parties)
    ]
    reader = {"number": ORGANISATION, "party": "51000022", "name": "reader", "acts_for": parties}
    owner = {"number": "991825827", "party": "50002001", "name": "owner", "org": "ttd"}
    return {"organisations": [owner, reader, *clients], "people": []}
