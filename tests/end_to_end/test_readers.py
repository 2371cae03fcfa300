"""No receipt without a reader: what is accepted is in a feed of some member of the population (contract section 3)."""

import itertools
import uuid
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.feeds import PARTY_PATH, assert_problem, event_ids
from tests.support.publishing import (
    APP_PATH,
    BATCH_MEDIA_TYPE,
    EVENT_MEDIA_TYPE,
    EVENTS_PATH,
    PUBLISH_ADMIN_SCOPE,
    PUBLISH_SCOPE,
    app_event,
    post_events,
)
from tests.support.service import (
    ACCOUNTANT,
    BAKERY,
    KARI,
    OLA,
    OTHER_BANK,
    SKD,
    TTD,
    RunningService,
    bearer,
    free_port,
    running_service,
)

GUID = "6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c"
SUBJECTS_OF_THE_BAKERY = [
    "/party/51000011",
    "/organisation/310000011",
    "/organization/310000011",
    "/org/310000011",
    "urn:altinn:party:id:51000011",
    "urn:altinn:party:uuid:7b2e0a4c-5d3f-4c66-9a51-310000000011",
    "urn:altinn:party:uuid:7B2E0A4C-5D3F-4C66-9A51-310000000011",
    "urn:altinn:organization:identifier-no:310000011",
    "310000011",
]
SUBJECTS_OF_KARI = ["/person/01838012345", "urn:altinn:person:identifier-no:01838012345", "01838012345"]
OTHER_SUBJECTS = [None, "/case/7", "/organisation/999999999", "/party/1", "urn:altinn:party:uuid:x"]


def other_event(app: str, **changes: object) -> dict[str, object]:
    """An event of a resource of no app; None removes an attribute. As in real ones, no source names an organisation."""
    source, resource = f"https://platform.example.no/broker/api/v1/{app}", f"urn:altinn:resource:{app}"
    base = {"id": str(uuid.uuid4()), "specversion": "1.0", "type": "t", "source": source, "resource": resource}
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def publish(service: RunningService, event: object) -> str:
    """Publish an event in structured mode, and return its id."""
    response = post_events(service, EVENTS_PATH, event, media_type=EVENT_MEDIA_TYPE).raise_for_status()
    return str(response.json()["id"])


def party_ids(service: RunningService, number: str, app: str) -> list[str]:
    """The ids of the app's events in the reader's own feed."""
    is_person = len(number) == 11
    token = service.person_token(number) if is_person else service.token("x", organisation=number)
    body = {"after": "0", "size": 1000, "source": f"https://platform.example.no/broker/api/v1/{app}"}
    return event_ids(service.client.post(PARTY_PATH, json=body, headers=bearer(token)))


def resource_ids(service: RunningService, number: str, resource: str) -> list[str]:
    """The ids of a resource's events that this organisation may see."""
    token = service.token("altinn:events.subscribe", organisation=number)
    params = {"after": "0", "size": "1000", "resource": resource}
    return event_ids(service.client.get(EVENTS_PATH, params=params, headers=bearer(token)))


@pytest.mark.parametrize(
    ("readers", "others", "subjects"),
    [
        ((BAKERY,), (OLA, OTHER_BANK), SUBJECTS_OF_THE_BAKERY),
        ((KARI,), (OLA, BAKERY), SUBJECTS_OF_KARI),
    ],
)
def test_party_is_found_from_every_form_of_subject(
    service: RunningService, app: str, readers: tuple[str, ...], others: tuple[str, ...], subjects: list[str]
) -> None:
    """The party reads the event, an owner reads it by the resource, and no other party reads it."""
    ids = [publish(service, other_event(app, subject=subject)) for subject in subjects]

    assert [ids] * len(readers) == [party_ids(service, number, app) for number in readers]
    assert [[]] * len(others) == [party_ids(service, number, app) for number in others]
    assert ids == resource_ids(service, TTD, f"urn:altinn:resource:{app}")


def test_recipient_accountant_and_owner_see_an_event_by_organisation_number(service: RunningService, app: str) -> None:
    """The accountant acts for the bakery. A bank without rights sees nothing, and the subject stays as published."""
    subject = "urn:altinn:organization:identifier-no:310000011"
    id_, resource = publish(service, other_event(app, subject=subject)), f"urn:altinn:resource:{app}"
    token = service.token("x", organisation=ACCOUNTANT)
    body = {"after": "0", "unit": BAKERY, "size": 1000, "source": f"https://platform.example.no/broker/api/v1/{app}"}
    page = service.client.post(PARTY_PATH, json=body, headers=bearer(token))

    assert [id_] == event_ids(page)
    assert subject == page.json()[0]["subject"]
    assert [[id_]] * 3 == [resource_ids(service, number, resource) for number in (BAKERY, ACCOUNTANT, TTD)]
    assert [] == resource_ids(service, OTHER_BANK, resource)


def test_app_event_with_a_number_as_subject_reaches_the_party(service: RunningService, app: str) -> None:
    """The route for events of apps takes the same subjects."""
    event = app_event(app, id=app, subject="/organisation/310000011")
    post_events(service, APP_PATH, event).raise_for_status()
    token, source = service.token("x", organisation=BAKERY), f"https://ttd.apps.example.no/ttd/{app}/"
    body = {"after": "0", "source": source}

    assert [app] == event_ids(service.client.post(PARTY_PATH, json=body, headers=bearer(token)))


def test_owner_of_an_app_sees_every_event_of_its_resource(service: RunningService, app: str) -> None:
    """Events without a subject are among them. Another organisation sees none."""
    resource = f"urn:altinn:resource:app_ttd_{app}"
    events = [app_event(app, id=f"{number}", subject=subject) for number, subject in enumerate([None, "/party/1"])]
    ids = [publish(service, {name: value for name, value in each.items() if value}) for each in events]

    assert ids == resource_ids(service, TTD, resource)
    assert [] == resource_ids(service, SKD, resource)


@pytest.mark.parametrize("extra", [{}, {"resource": "urn:altinn:resource:thing"}], ids=["no resource", "resource"])
@pytest.mark.parametrize(
    "path",
    [
        f"x/instances/50000001/{GUID}/",
        f"x/instances/50000001/{GUID}?x=1",
        f"x/instances/50000001/{GUID}#x",
        f"x/instances/50000001/{GUID}/data/1",
        f"x/instances/50000001/{GUID.replace('-', '')}",
        f"x/instances/01838012345/{GUID}",
        f"x/instances/fifty/{GUID}",
        f"x/instances/50000001/{GUID}x",
        "x/instances",
        f"%61pp/instances/50000001/{GUID}",
        f"x/%69nstances/50000001/{GUID}",
        f"x/Instances/50000001/{GUID}",
        f"{'x' * 201}/instances/50000001/{GUID}",
    ],
)
def test_source_that_resembles_an_app_is_rejected(service: RunningService, path: str, extra: dict[str, str]) -> None:
    """Both routes refuse it, with a resource or without: no feed of the app would show it."""
    event = {"id": "1", "specversion": "1.0", "type": "t", "subject": "/party/1", **extra}
    event["source"] = f"https://ttd.apps.example.no/ttd/{path}"
    structured = post_events(service, EVENTS_PATH, event, media_type=EVENT_MEDIA_TYPE)
    of_app = post_events(service, APP_PATH, event)

    for response in (structured, of_app):
        problem = assert_problem(response, 400, "invalid-event")
        assert ["/source"] == [error["pointer"] for error in problem["errors"]]  # type: ignore[attr-defined]  # a list


@pytest.mark.parametrize("resource", [None, "thing", "urn:x", "https://example.no/thing"])
def test_event_of_no_app_needs_a_urn_as_resource(service: RunningService, app: str, resource: str | None) -> None:
    """Without one no feed shows it."""
    response = post_events(service, EVENTS_PATH, other_event(app, resource=resource), media_type=EVENT_MEDIA_TYPE)
    problem = assert_problem(response, 400, "invalid-event")

    assert ["/resource"] == [error["pointer"] for error in problem["errors"]]  # type: ignore[attr-defined]  # a list


def test_every_receipt_is_in_a_feed_of_the_population(service: RunningService, app: str) -> None:
    """Sources, resources and subjects in every combination: refused, or read by an organisation of the population."""
    host = "https://ttd.apps.example.no"
    instance = f"instances/50000001/{GUID}"
    sources = [f"{host}/ttd/{app}/{instance}", f"{host}/ttd/{app}/{instance}/", f"{host}/ttd/%61/{instance}"]
    sources += [f"{host}/ttd/{app}", f"{host}/other/{app}", f"{host}"]
    resources = [None, "x", f"urn:altinn:resource:{app}", f"urn:altinn:resource:app_ttd_{app}"]
    subjects = [*SUBJECTS_OF_THE_BAKERY, *SUBJECTS_OF_KARI, *OTHER_SUBJECTS]
    receipts, refused = defaultdict[str, set[str]](set), 0
    kari = bearer(service.person_token(KARI))
    start = service.client.get("/events/api/v1/head", headers=kari).json()["cursor"]
    for source, resource, subject in itertools.product(sources, resources, subjects):
        event = other_event(app, source=source, resource=resource, subject=subject)
        response = post_events(service, EVENTS_PATH, event, scope=PUBLISH_ADMIN_SCOPE, media_type=EVENT_MEDIA_TYPE)
        if response.is_success:
            receipts[resource or f"urn:altinn:resource:app_ttd_{app}"].add(response.json()["id"])
        else:
            assert_problem(response, 400, "invalid-event")
            refused += 1
    of_kari = event_ids(service.client.post(PARTY_PATH, json={"after": start, "size": 1000}, headers=kari))
    missing = {
        resource: ids
        - {each for number in (TTD, BAKERY) for each in resource_ids(service, number, resource)}
        - {*of_kari}
        for resource, ids in receipts.items()
    }

    assert {f"urn:altinn:resource:{app}": set(), f"urn:altinn:resource:app_ttd_{app}": set()} == missing
    assert refused


def test_register_that_does_not_respond_makes_the_request_unavailable(tmp_path: Path) -> None:
    """Nothing of the request is written. An event with a party id needs no register."""
    platform = f"http://127.0.0.1:{free_port()}"
    with running_service(tmp_path) as service:
        token, reader = service.token("altinn:events.publish"), service.token("altinn:events/ttd")
        port = service.url.rpartition(":")[2]
    settings = {"EVENTFEED_PLATFORM_URL": platform, "EVENTFEED_PLATFORM_ORGS_URL": f"{platform}/orgs"}
    with running_service(tmp_path, EVENTFEED_PORT=port, **settings) as service:
        events = [app_event("a", id="1"), app_event("a", id="2", subject="/organisation/310000011")]
        refusal = service.client.post(APP_PATH, json=events, headers=bearer(token))
        response = service.client.post(APP_PATH, json=app_event("a", id="3"), headers=bearer(token))
        page = service.client.get("/events/api/v1/app/ttd/a?after=0", headers=bearer(reader))

    assert_problem(refusal, 503, "unavailable")
    assert refusal.headers["retry-after"].isdecimal()
    assert 201 == response.status_code
    assert ["3"] == event_ids(page)


def test_owner_named_in_the_register_publishes_and_sees_every_event_of_its_resource(tmp_path: Path) -> None:
    """Another organisation may do neither, except with the admin scope. A refused batch writes nothing."""
    register = tmp_path / "register.json"
    register.write_text(
        '{"organisations": [{"number": "991825827", "party": "1", "name": "T", "org": "ttd"},'
        '{"number": "974761076", "party": "2", "name": "S", "org": "skd"}], "people": [],'
        '"resources": [{"resource": "urn:altinn:resource:thing", "owner": "skd"}]}'
    )
    with running_service(tmp_path, EVENTFEED_REGISTER=str(register)) as service:
        refusal = post_events(
            service, EVENTS_PATH, [other_event("open"), other_event("thing")], media_type=BATCH_MEDIA_TYPE
        )
        of_admin = post_events(
            service, EVENTS_PATH, other_event("thing"), scope=PUBLISH_ADMIN_SCOPE, media_type=EVENT_MEDIA_TYPE
        ).raise_for_status()
        headers = {**bearer(service.token(PUBLISH_SCOPE, organisation=SKD)), "Content-Type": EVENT_MEDIA_TYPE}
        of_owner = service.client.post(EVENTS_PATH, json=other_event("thing"), headers=headers).raise_for_status()
        seen = {number: resource_ids(service, number, "urn:altinn:resource:thing") for number in (SKD, TTD)}
        of_open_resource = resource_ids(service, TTD, "urn:altinn:resource:open")

    problem = assert_problem(refusal, 403, "foreign-source")
    assert ["/1/resource"] == [error["pointer"] for error in problem["errors"]]  # type: ignore[attr-defined]  # a list
    assert {SKD: [response.json()["id"] for response in (of_admin, of_owner)], TTD: []} == seen
    assert [] == of_open_resource


@pytest.mark.parametrize("subject", ["/autotest/k6", None, "urn:altinn:organization:identifier-no:310000011"])
@pytest.mark.parametrize("source", ["https://github.com/Altinn/altinn-events/tree/main/test/k6", "https://x"])
@pytest.mark.parametrize("publisher", [TTD, SKD, BAKERY])
def test_resource_without_owner_is_open_in_development(
    service: RunningService, app: str, source: str, subject: str | None, publisher: str
) -> None:
    """Every organisation publishes, whatever the source, and owners of apps read all. Others need a right to the party.

    The first source and subject are those of Altinn/altinn-events, test/k6/src/data/events/01-event.json.
    """
    resource = f"urn:altinn:resource:{app}{publisher}"
    event = other_event(app, source=source, subject=subject, resource=resource)
    headers = {**bearer(service.token(PUBLISH_SCOPE, organisation=publisher)), "Content-Type": EVENT_MEDIA_TYPE}
    service.client.post(EVENTS_PATH, json=event, headers=headers).raise_for_status()
    readers = [number for number in (TTD, SKD, BAKERY, OTHER_BANK) if resource_ids(service, number, resource)]

    others = [] if subject and "310000011" in subject else [OTHER_BANK]
    assert [TTD, SKD, BAKERY, *others] == readers


def test_decision_point_that_does_not_respond_makes_publishing_unavailable(tmp_path: Path) -> None:
    """One event of a resource makes the whole request 503, and nothing is written."""
    platform = f"http://127.0.0.1:{free_port()}"
    with running_service(tmp_path) as service:
        token, reader = service.token(PUBLISH_SCOPE), service.token("altinn:events/ttd")
        port = service.url.rpartition(":")[2]
    settings = {"EVENTFEED_PLATFORM_URL": platform, "EVENTFEED_PLATFORM_ORGS_URL": f"{platform}/orgs"}
    with running_service(tmp_path, EVENTFEED_PORT=port, **settings) as service:
        events = [app_event("a", id="1"), other_event("dialog", subject="/party/51000011")]
        headers = {**bearer(token), "Content-Type": BATCH_MEDIA_TYPE}
        refusal = service.client.post(EVENTS_PATH, json=events, headers=headers)
        page = service.client.get("/events/api/v1/app/ttd/a?after=0", headers=bearer(reader))

    assert_problem(refusal, 503, "unavailable")
    assert refusal.headers["retry-after"].isdecimal()
    assert [] == event_ids(page)
