"""Pollers written from the guides of Altinn Events, unchanged, for 10,000 events.

The requests are those of docs.altinn.studio (Query app events as application owner, as end user) and of the repository
Altinn/altinn-events (src/Events/Controllers, test/k6/src/api): parameters, headers, and the header `next`, which is
requested without a change.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest

from tests.support.altinn_rows import altinn_event, altinn_row, csv_file
from tests.support.publishing import APP_PATH, PUBLISH_SCOPE, party_event
from tests.support.service import KARI, KARIS_PARTY, RunningService, bearer, run_with_store, running_service

EVENTS, REQUEST_EVENTS = 10_000, 100
APP = "apps-test"
OWNER_FEED, PARTY_FEED, RESOURCE_FEED = f"{APP_PATH}/ttd/{APP}", f"{APP_PATH}/party", "/events/api/v1/events"
RESOURCE = f"urn:altinn:resource:app_ttd_{APP}"
# The only media type in the guides. The scripts also send it as the type of a request without a body.
ACCEPT = {"Accept": "application/cloudevents+json"}
SCRIPT_HEADERS = {"Content-Type": "application/cloudevents+json"}
TYPES = "&".join(f"type=app.instance.{name}" for name in ("created", "process.completed"))


class Log:
    """A service with 10,000 events of an app about Kari, the ids of these events, and tokens of their readers."""

    def __init__(self, service: RunningService) -> None:
        self.client, self.ids = service.client, list[str]()
        token = bearer(service.token(PUBLISH_SCOPE))
        for start in range(0, EVENTS, REQUEST_EVENTS):
            events = [self._event(number) for number in range(start, start + REQUEST_EVENTS)]
            self.client.post(APP_PATH, json=events, headers=token).raise_for_status()
            self.ids += [str(event["id"]) for event in events]
        self.owner = bearer(service.token(f"altinn:events/ttd/{APP} altinn:events.subscribe altinn:serviceowner"))
        self.person = bearer(service.person_token(KARI))

    @staticmethod
    def _event(number: int) -> dict[str, object]:
        type_ = "app.instance.process.completed" if number % 2 else "app.instance.created"
        return party_event(APP, KARIS_PARTY, type=type_, alternativesubject=f"/person/{KARI}")

    def get(self, url: str, headers: Mapping[str, str]) -> httpx.Response:
        """Return the response to a request of a poller. Raises on an error."""
        return self.client.get(url, headers=dict(headers)).raise_for_status()

    def by_next(self, url: str, headers: Mapping[str, str]) -> Iterator[str]:
        """Yield the id of each event, as a poller that requests `next` until a page is empty."""
        while events := (response := self.get(url, headers)).json():
            yield from (event["id"] for event in events)
            url = response.headers["next"]

    def by_last_id(self, url: str, headers: Mapping[str, str], *, first: str) -> Iterator[str]:
        """Yield the id of each event, as a poller that stores the id of the last one and sends it as `after`."""
        after = first
        while events := self.get(f"{url}&{after}", headers).json():
            yield from (event["id"] for event in events)
            after = f"after={events[-1]['id']}"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """A log with the events."""
    folder: Path = tmp_path_factory.mktemp("altinn")
    with running_service(folder) as service:
        yield Log(service)


QUERIES: Sequence[tuple[str, str]] = [
    (OWNER_FEED, "from=2023-02-16T18:00Z"),
    (OWNER_FEED, "from=2022-02-14 07:22:19Z&to=2099-06-16 13:37:00Z&party=50000001&size=1000"),
    (OWNER_FEED, f"from=2026-06-20T11:00:53.3917Z&{TYPES}&size=500"),
    (OWNER_FEED, "from=2023-02-16T18:00Z&type=instance.%25&size=1000"),
    (RESOURCE_FEED, f"resource={RESOURCE}&after=0&size=1000"),
    (RESOURCE_FEED, f"after=0&resource={RESOURCE}&source=https://ttd.apps.example.no/ttd/%&{TYPES}&size=1000"),
]


@pytest.mark.parametrize(("path", "query"), QUERIES)
def test_owner_that_requests_next_reads_every_event_once(log: Log, path: str, query: str) -> None:
    """The times are those of the guides: without seconds, with a space, with fractions."""
    assert log.ids == list(log.by_next(f"{path}?{query}", {**log.owner, **ACCEPT, **SCRIPT_HEADERS}))


@pytest.mark.parametrize(
    "query",
    [
        f"from=2023-02-16T18:00Z&party={KARIS_PARTY}&size=1000",
        f"from=2023-02-16T18:00Z&{TYPES}&size=1000",
        "after=0&source=https://ttd.apps.example.no/ttd/apps-%&source=https://digdir.apps.example.no/x/%25&size=1000",
    ],
)
@pytest.mark.parametrize("person", [{}, {"person": KARI}])
def test_end_user_that_requests_next_reads_every_event_once(log: Log, query: str, person: dict[str, str]) -> None:
    """Of its own party by default; the number of a person comes in a header."""
    assert log.ids == list(log.by_next(f"{PARTY_FEED}?{query}", {**log.person, **ACCEPT, **person}))


def test_owner_that_stores_the_last_id_reads_every_event_once(log: Log) -> None:
    """The id of an event is a position, on the feed of the app, of the party and of the resource."""
    owner, person = {**log.owner, **ACCEPT}, {**log.person, **ACCEPT}
    start = "from=2023-02-16T18:00Z"

    assert log.ids == list(log.by_last_id(f"{OWNER_FEED}?size=1000", owner, first=start))
    assert log.ids == list(log.by_last_id(f"{PARTY_FEED}?size=1000&party={KARIS_PARTY}", person, first=start))
    assert log.ids == list(log.by_last_id(f"{RESOURCE_FEED}?resource={RESOURCE}&size=1000", owner, first="after=0"))


def test_page_of_the_resource_by_alternative_subject_has_the_events_of_the_person(log: Log) -> None:
    """The header of the guides filters exactly, and `next` is read with the same header."""
    url = f"{RESOURCE_FEED}?resource={RESOURCE}&after=0&size=1000"
    of_kari = {"Altinn-AlternativeSubject": f"/person/{KARI}"}
    of_nobody = {"Altinn-AlternativeSubject": "/person/16035001577"}

    assert log.ids == list(log.by_next(url, {**log.owner, **ACCEPT, **of_kari}))
    assert [] == list(log.by_next(url, {**log.owner, **ACCEPT, **of_nobody}))


def test_unknown_id_and_missing_start_are_refused_as_in_the_guides(log: Log) -> None:
    """Neither returns the feed from its beginning. A wildcard within a source would find no event, there as here."""
    middle = "after=0&source=https://ttd.apps.example.no/ttd/apps-%25/"
    for query in (f"after={uuid.uuid4()}", "size=5", "from=2023-02-16T18:00", middle):
        assert 400 == log.client.get(f"{OWNER_FEED}?{query}", headers=log.owner).status_code


ONLY_VISIBLE = """permit (principal, action == Action::"read", resource) when {
    context has party && principal.parties.contains(context.party) && context has app && context.app == "visible" };"""


def test_poller_before_2500_hidden_events_advances_by_next_only(tmp_path: Path) -> None:
    """The id of the last event always leads to the same empty page, whose `Feed-More` is true."""
    apps = ["visible", *(f"hidden{number}" for number in range(2_500)), "visible"]
    events = [party_event(app, KARIS_PARTY) for app in apps]
    (tmp_path / "policies").write_text(ONLY_VISIBLE)
    with running_service(tmp_path, EVENTFEED_POLICIES=str(tmp_path / "policies")) as service:
        token, reader = bearer(service.token(PUBLISH_SCOPE)), bearer(service.person_token(KARI))
        for start in range(0, len(events), REQUEST_EVENTS):
            batch = events[start : start + REQUEST_EVENTS]
            service.client.post(APP_PATH, json=batch, headers=token).raise_for_status()
        url = f"{PARTY_FEED}?after={events[0]['id']}"
        first, again = service.client.get(url, headers=reader), service.client.get(url, headers=reader)
        page = first
        while page.headers["feed-more"] == "true":
            page = service.client.get(page.headers["next"], headers=reader)

    assert [([], "true")] * 2 == [(each.json(), each.headers["feed-more"]) for each in (first, again)]
    assert first.headers["feed-cursor"] == again.headers["feed-cursor"]
    assert [events[-1]["id"]] == [event["id"] for event in page.json()]


def test_poller_continues_from_the_id_of_an_imported_event(tmp_path: Path) -> None:
    """A poller of the replaced platform sends the id that it stored there, and gets each later event once."""
    (tmp_path / "events.csv").write_bytes(csv_file(altinn_row(number) for number in range(1, 251)))
    keep = {"EVENTFEED_RETENTION_DAYS": "36500"}
    imported = run_with_store(tmp_path, "migrate", "events.csv", store=f"sqlite:///{tmp_path}/log.db", **keep)
    with running_service(tmp_path, EVENTFEED_STORE=f"sqlite:///{tmp_path}/log.db", **keep) as service:
        newest = party_event(APP, KARIS_PARTY)
        published = service.client.post(APP_PATH, json=newest, headers=bearer(service.token(PUBLISH_SCOPE)))
        token = bearer(service.token(f"altinn:events/ttd/{APP}"))
        url = f"{OWNER_FEED}?after={altinn_event(200)['id']}&size=1000"
        ids = [event["id"] for event in service.client.get(url, headers={**token, **ACCEPT}).json()]

    assert (0, 201) == (imported.returncode, published.status_code)
    assert [*(altinn_event(number)["id"] for number in range(201, 251)), newest["id"]] == ids
