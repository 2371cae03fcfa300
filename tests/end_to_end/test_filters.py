"""Filters of readers over HTTP: types with wildcards, sources, and subjects, of a page and of a party's body."""

import uuid

import pytest

from tests.support.feeds import PARTY_PATH, assert_problem, event_ids, read_app_feed
from tests.support.publishing import APP_PATH, EVENT_MEDIA_TYPE, EVENTS_PATH, cloud_event, party_event, post_events
from tests.support.service import KARI, KARIS_PARTY, RunningService, bearer

HOST = "https://ttd.apps.example.no/ttd"
TYPES = ["instance.created", "app.instance.process.completed", "app.instance.created", "other"]


@pytest.fixture
def ids(service: RunningService, app: str) -> list[str]:
    """The ids of four events about Kari of each type, each with its own alternative subject."""
    events = [
        party_event(app, KARIS_PARTY, type=type_, alternativesubject=f"/organisation/31000001{index}")
        for index, type_ in enumerate(TYPES)
    ]
    post_events(service, APP_PATH, events).raise_for_status()
    return [str(event["id"]) for event in events]


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        ("type=instance.process.completed", [1]),
        ("type=app.instance.created", [2]),
        ("type=instance.created", [0, 2]),
        ("type=instance.*", [0, 1, 2]),
        ("type=app.instance.%", [1, 2]),
        ("type=app.instance.%25&type=other", [1, 2, 3]),
        ("type=Instance.created", []),
        ("source={0}/{1}", [0, 1, 2, 3]),
        ("source={0}/{1}/", [0, 1, 2, 3]),
        ("source={0}/%", [0, 1, 2, 3]),
        ("source={0}/x&source={0}/{1}/instances", [0, 1, 2, 3]),
        ("source={0}/{1}/inst", []),
        ("source={0}/{1}/inst*", [0, 1, 2, 3]),
        ("subject=/party/50000001", [0, 1, 2, 3]),
        ("subject=/party/5000000", []),
        ("subject=/party/50000001&type=other", [3]),
    ],
)
def test_filter_of_a_page_finds_its_events(
    service: RunningService, app: str, ids: list[str], query: str, indexes: list[int]
) -> None:
    """Types of apps also without `app.` in front, and sources by the segments of their paths."""
    page = read_app_feed(service, app, f"after=0&{query.format(HOST, app)}")

    assert [ids[index] for index in indexes] == event_ids(page)


def test_alternative_subject_filters_exactly(service: RunningService, app: str, ids: list[str]) -> None:
    """By a header of a GET, and of a POST beside its body."""
    header = {"Altinn-AlternativeSubject": "/organisation/310000012"}
    body = {"after": "0", "source": [f"{HOST}/{app}"], "eventType": ["instance.*"]}
    token, member = bearer(service.person_token(KARI)), {"alternativeSubject": "/organisation/310000012"}
    by_header = service.client.post(PARTY_PATH, json=body, headers={**token, **header})
    by_body = service.client.post(PARTY_PATH, json={**body, **member}, headers=token)

    assert [ids[2]] == event_ids(read_app_feed(service, app, "after=0", **header))
    assert [ids[2]] == event_ids(by_header) == event_ids(by_body)
    assert [] == event_ids(read_app_feed(service, app, "after=0", **{"Altinn-AlternativeSubject": "/organisation/3"}))


@pytest.mark.parametrize("query", ["eventType=%ZZ", "eventType=a%25b", "source=https://x/%25zz/y", "from=2022-02-14"])
def test_filter_that_can_find_nothing_is_refused(service: RunningService, app: str, query: str) -> None:
    """Never an empty page, whose cursor would pass everything."""
    assert_problem(read_app_feed(service, app, f"after=0&{query}"), 400, "invalid-request")


def test_filter_by_subjects_is_refused_on_the_instance_feed(service: RunningService) -> None:
    """It would reveal who an instance is about."""
    path = f"/events/instanceeventsforinstance/{uuid.uuid4()}"
    by_body = service.client.post(path, json={"subject": "/party/5"})
    by_header = service.client.post(path, headers={"Altinn-AlternativeSubject": "/party/5"})

    for response in (by_body, by_header):
        assert_problem(response, 400, "invalid-request")


@pytest.mark.parametrize("query", ["", "&unit=310000011", "&party=51000011", "&subject=/party/51000011"])
def test_publisher_finds_its_own_events_by_party(service: RunningService, app: str, query: str) -> None:
    """Nobody owns the resource, so its publishers see what they have sent, for any party."""
    resource = f"urn:altinn:resource:{app.replace('-', '')}"
    event = {**cloud_event(app), "source": f"https://ttd.example.no/ttd/{app}", "resource": resource}
    post_events(
        service, EVENTS_PATH, {**event, "subject": "/party/51000011"}, media_type=EVENT_MEDIA_TYPE
    ).raise_for_status()
    token = bearer(service.token("altinn:events.subscribe"))
    page = service.client.get(f"{EVENTS_PATH}?resource={resource}&after=0{query}", headers=token)

    assert [event["id"]] == event_ids(page.raise_for_status())


@pytest.mark.parametrize("subject", ["/party/51000011", "/organisation/310000011", "/org/310000011", "310000011"])
@pytest.mark.parametrize("published", ["/party/51000011", "urn:altinn:organization:identifier-no:310000011"])
def test_subject_finds_the_party_in_each_of_its_forms(
    service: RunningService, app: str, subject: str, published: str
) -> None:
    """As an event may name its party in any form, so may a reader."""
    events = [party_event(app, "51000011", subject=published), party_event(app, KARIS_PARTY)]
    post_events(service, APP_PATH, events).raise_for_status()
    found = [page_event["subject"] for page_event in read_app_feed(service, app, f"after=0&subject={subject}").json()]

    assert [published] == found
