"""The audit of pages that show a party other than the caller's own (contract section 9)."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import apsw
import httpx
import pytest

from tests.support.feeds import PARTY_PATH, assert_problem, audit_entries, event_ids, read_app_feed
from tests.support.publishing import APP_PATH, EVENTS_PATH, party_event, post_events
from tests.support.service import (
    ACCOUNTANT,
    BAKERY,
    BAKERYS_PARTY,
    KARI,
    KARIS_PARTY,
    RunningService,
    bearer,
    running_service,
)

# A row of the reportees feed has no feed, and one of another feed names it.
NAMES = ("feed", "organisation", "user", "subject", "events")


@pytest.fixture(scope="module")
def service_with_audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that records each page about another party."""
    with running_service(tmp_path_factory.mktemp("audit"), EVENTFEED_AUDIT="others") as service:
        yield service


def publish(service: RunningService, app: str) -> None:
    """Publish an event about Kari, and one about the bakery."""
    post_events(
        service, APP_PATH, [party_event(app, party) for party in (KARIS_PARTY, BAKERYS_PARTY)]
    ).raise_for_status()


def read_party(service: RunningService, app: str, token: str, party: str, **headers: str) -> httpx.Response:
    """Request the events of an app about a party."""
    body = {"after": "0", "party": party, "source": f"https://ttd.apps.example.no/ttd/{app}"}
    return service.client.post(PARTY_PATH, json=body, headers={**bearer(token), **headers})


def new_entries(service: RunningService, app: str) -> list[Mapping[str, object]]:
    """The entries about pages that an app's events were read in, by the filter of the request or by the app's feed."""
    entries = audit_entries(service)
    return [
        {name: entry.get(name) for name in NAMES} for entry in entries if str(entry.get("source")).endswith(f"/{app}")
    ]


def test_page_about_another_party_is_recorded(service_with_audit: RunningService, app: str) -> None:
    """The entry names the reader and the party. A page about the reader's own party has none, nor has an empty one."""
    service = service_with_audit
    publish(service, app)
    kari, accountant = service.person_token(KARI), service.token("x", organisation=ACCOUNTANT)

    assert 1 == len(event_ids(read_party(service, app, kari, KARIS_PARTY)))
    assert 1 == len(event_ids(read_party(service, app, kari, BAKERYS_PARTY)))
    assert 1 == len(event_ids(read_party(service, app, accountant, BAKERYS_PARTY)))
    assert [] == event_ids(read_party(service, app, accountant, KARIS_PARTY))
    page = {"feed": "party", "subject": f"/party/{BAKERYS_PARTY}", "events": 1}
    assert [
        {**page, "organisation": "", "user": "20000001"},
        {**page, "organisation": ACCOUNTANT, "user": None},
    ] == new_entries(service, app)


def test_system_user_is_the_reader(service_with_audit: RunningService, app: str) -> None:
    """The party of its organisation is its own."""
    service = service_with_audit
    publish(service, app)
    own = service.system_user_token("x")

    assert 1 == len(event_ids(read_party(service, app, own, BAKERYS_PARTY)))
    assert [] == new_entries(service, app)


def test_page_of_an_app_and_of_a_resource_is_recorded(service_with_audit: RunningService, app: str) -> None:
    """A page about several parties names none; the log and the sequences identify its events."""
    service = service_with_audit
    publish(service, app)
    source = f"source=https://ttd.apps.example.no/ttd/{app}"
    read_app_feed(service, app, f"after=0&{source}").raise_for_status()
    resource = f"{EVENTS_PATH}?after=0&resource=urn:altinn:resource:app_ttd_{app}&{source}"
    headers = bearer(service.token("altinn:events.subscribe", organisation=ACCOUNTANT))
    service.client.get(resource, headers=headers).raise_for_status()

    assert [("app", None, 2), ("resource", f"/party/{BAKERYS_PARTY}", 1)] == [
        (entry["feed"], entry["subject"], entry["events"]) for entry in new_entries(service, app)
    ]


def test_page_that_the_reader_already_has_is_not_recorded_again(service_with_audit: RunningService, app: str) -> None:
    """304 shows no event."""
    service = service_with_audit
    publish(service, app)
    token = service.token("x", organisation=ACCOUNTANT)
    tag = read_party(service, app, token, BAKERYS_PARTY).headers["etag"]

    assert 304 == read_party(service, app, token, BAKERYS_PARTY, **{"If-None-Match": tag}).status_code
    assert 1 == len(new_entries(service, app))


def test_stream_about_another_party_is_recorded(service_with_audit: RunningService, app: str) -> None:
    """Before its events are sent."""
    service = service_with_audit
    publish(service, app)
    body = {"after": "0", "party": BAKERYS_PARTY, "source": f"https://ttd.apps.example.no/ttd/{app}"}
    headers = {**bearer(service.token("x", organisation=ACCOUNTANT)), "Accept": "text/event-stream"}
    with service.client.stream("POST", PARTY_PATH, json=body, headers=headers) as response:
        assert any(line.startswith("data: ") for line in response.iter_lines())

    assert 1 == len(new_entries(service, app))


def test_only_the_feed_of_all_parties_is_recorded_by_default(service: RunningService, app: str) -> None:
    """The setting adds the others."""
    publish(service, app)
    token = service.token("x", organisation=ACCOUNTANT)

    assert 1 == len(event_ids(read_party(service, app, token, BAKERYS_PARTY)))
    assert [] == new_entries(service, app)


def test_page_that_cannot_be_recorded_is_503(tmp_path: Path, app: str) -> None:
    """No audit entry, no page; pages about the reader's own party need none."""
    with running_service(tmp_path, EVENTFEED_AUDIT="others") as service:
        publish(service, app)
        with closing(apsw.Connection(str(service.folder / ".eventfeed" / "log.access.db"))) as db:
            db.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'full'); END")
        refusal = read_party(service, app, service.token("x", organisation=ACCOUNTANT), BAKERYS_PARTY)
        own = read_party(service, app, service.token("x", organisation=BAKERY), BAKERYS_PARTY)

    assert_problem(refusal, 503, "unavailable")
    assert 1 == len(event_ids(own))
