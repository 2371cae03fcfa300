"""The cost of decisions: pages of one party and of many parties, compared with the app's own page of these events."""

import functools
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from loadtests.benchmark.effort import Effort
from loadtests.benchmark.events import APP, FEED, PUBLISH, TYPE, authorization, event
from loadtests.benchmark.figures import Figure, comparison, with_workers
from loadtests.benchmark.pages import PAGE_EVENTS, page_rate
from loadtests.benchmark.servers import Server, service

ORGANISATION = "310000022"

_FIRST = 60_000_001
_SCOPES = "altinn:events.subscribe altinn:events/ttd altinn:events.publish"
_RESOURCE = f"urn:altinn:resource:app_{APP.replace('/', '_')}"


def party_figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    """Pages of 50 events: of one party, and of 50 parties with cached and with new decisions."""
    register = folder / "register.json"
    register.write_text(json.dumps(_population(effort.party_pages * PAGE_EVENTS)))
    settings = {"EVENTFEED_REGISTER": str(register)}
    with service(folder, settings) as server:
        publisher = authorization(server, scopes=_SCOPES)
        for page in range(effort.party_pages):
            first = _FIRST + page * PAGE_EVENTS
            _publish(server, publisher, parties=range(first, first + PAGE_EVENTS))
        _publish(server, publisher, parties=[_FIRST] * PAGE_EVENTS)
    for workers in effort.workers:
        with service(folder, settings, workers=workers) as server:
            yield from _figures(server, effort)


def _figures(server: Server, effort: Effort) -> Iterator[Figure]:
    """Many callers request one page; then one caller reads all pages."""
    owner = authorization(server, scopes=_SCOPES)
    reader = authorization(server, organisation=ORGANISATION, scopes=_SCOPES)
    party_path = f"/events/api/v1/app/party?party={_FIRST}&after=0&size={PAGE_EVENTS}"
    app_path = f"{FEED}?after=0&size={PAGE_EVENTS}"
    rate = functools.partial(page_rate, status=200, seconds=effort.page_seconds)
    yield comparison(
        f"page of {PAGE_EVENTS} of a party, decided before, from the store / the app's own page"
        + with_workers(server.workers),
        functools.partial(rate, f"{server.url}{party_path}", reader),
        bare=functools.partial(rate, f"{server.url}{app_path}", owner),
        rounds=effort.rounds,
    )
    yield from _sequential_figures(server, owner, reader=reader, effort=effort)


def _sequential_figures(
    server: Server, owner: Mapping[str, str], *, reader: Mapping[str, str], effort: Effort
) -> Iterator[Figure]:
    """One caller reads all pages in sequence, first with new decisions, then with cached ones."""
    resource_path = f"/events/api/v1/events?resource={_RESOURCE}"
    rate = functools.partial(_sequential_rate, server, pages=effort.party_pages)
    rate_now = rate(resource_path, headers=reader)
    rates_before, app_rates = list[float](), list[float]()
    for _ in range(effort.rounds):
        rates_before.append(rate(resource_path, headers=reader))
        app_rates.append(rate(f"{FEED}?type={TYPE}", headers=owner))
    for when, ours in (("now", rate_now), ("before", max(rates_before))):
        yield Figure(
            name=f"page of {PAGE_EVENTS} over {PAGE_EVENTS} parties, decided {when} / the app's own page, one caller"
            + with_workers(server.workers),
            ours=ours,
            bare=max(app_rates),
            ratio=ours / max(app_rates),
            unit="1/s",
        )


def _sequential_rate(server: Server, path: str, *, headers: Mapping[str, str], pages: int) -> float:
    """Full pages a second, from the first cursor on."""
    cursor, start = "0", time.perf_counter()
    for _ in range(pages):
        url = f"{path}&size={PAGE_EVENTS}&after={cursor}"
        response = server.client.get(url, headers=dict(headers)).raise_for_status()
        if len(response.content) < PAGE_EVENTS * len(_RESOURCE):
            raise RuntimeError(f"the page is not full: {response.text[:200]}")
        cursor = response.headers["feed-cursor"]
    return pages / (time.perf_counter() - start)


def _publish(server: Server, headers: Mapping[str, str], *, parties: Iterable[int]) -> None:
    body = b"[%b]" % b",".join(event(party=party) for party in parties)
    all_headers = {**headers, "Content-Type": "application/json"}
    server.client.post(PUBLISH, content=body, headers=all_headers).raise_for_status()


def _population(count: int) -> dict[str, object]:
    parties = [str(_FIRST + number) for number in range(count)]
    clients = [
        {"number": str(400_000_000 + number), "party": party, "name": party} for number, party in enumerate(parties)
    ]
    reader = {"number": ORGANISATION, "party": "51000022", "name": "reader", "acts_for": parties}
    owner = {"number": "991825827", "party": "50002001", "name": "owner", "org": "ttd"}
    return {"organisations": [owner, reader, *clients], "people": []}
