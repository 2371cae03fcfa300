"""Events as the platform's own services publish them: without an organisation in the source, with URNs as subjects.

The shape of a correspondence's event is that of Altinn/altinn-correspondence, AltinnEventBus.cs: members in small
letters, null where there is no value, seven digits of a second, and the scopes of its appsettings.json. That services
publish events of an app's resource from a source of their own is from Altinn/altinn-events, AuthorizationService.cs.
"""

import uuid
from collections.abc import Mapping

import httpx
import pytest

from tests.support.feeds import PARTY_PATH, app_feed_events, event_ids
from tests.support.publishing import EVENT_MEDIA_TYPE, EVENTS_PATH, PUBLISH_ADMIN_SCOPE, PUBLISH_SCOPE, post_events
from tests.support.service import ACCOUNTANT, BAKERY, KARI, OTHER_BANK, SKD, TTD, RunningService, bearer

SCOPES = f"{PUBLISH_SCOPE} {PUBLISH_ADMIN_SCOPE}"
BAKERY_URN, KARI_URN = f"urn:altinn:organization:identifier-no:{BAKERY}", f"urn:altinn:person:identifier-no:{KARI}"


def correspondence_event(resource: str, subject: str | None, alternative: str | None) -> bytes:
    """Return the body that the correspondence service sends."""
    texts = [f'"{text}"' if text else "null" for text in (subject, alternative)]
    return (
        f'{{"specversion":"1.0","id":"{uuid.uuid4()}","type":"no.altinn.correspondence.correspondencepublished",'
        '"time":"2026-01-31T12:34:56.1234567+00:00",'
        f'"resource":"urn:altinn:resource:{resource}","resourceinstance":"{uuid.uuid4()}",'
        f'"subject":{texts[0]},"alternativesubject":{texts[1]},'
        '"source":"https://platform.example.no/correspondence/api/v1/correspondence","data":null}'
    ).encode()


def publish(service: RunningService, body: object, *, scope: str = SCOPES) -> str:
    """Publish an event in structured mode, and return its id."""
    response = post_events(service, EVENTS_PATH, body, scope=scope, media_type=EVENT_MEDIA_TYPE)
    return str(response.raise_for_status().json()["id"])


def read_resource(service: RunningService, number: str, resource: str) -> httpx.Response:
    """Request the events of a resource as an organisation."""
    headers = bearer(service.token("altinn:events.subscribe", organisation=number))
    params = {"after": "0", "resource": f"urn:altinn:resource:{resource}"}
    return service.client.get(EVENTS_PATH, params=params, headers=headers)


def read_party(service: RunningService, number: str, type_: str, **party: str) -> list[str]:
    """Return the ids of a party's events of a type."""
    token = service.person_token(number) if len(number) == 11 else service.token("x", organisation=number)
    body = {"after": "0", "size": 1000, "type": type_, **party}
    return event_ids(service.client.post(PARTY_PATH, json=body, headers=bearer(token)))


@pytest.mark.parametrize(
    ("subject", "alternative", "readers"),
    [
        (BAKERY_URN, f"/organisation/{BAKERY}", [TTD, SKD, BAKERY, ACCOUNTANT]),
        (KARI_URN, f"/person/{KARI}", [TTD, SKD]),
        ("urn:altinn:person:idporten-email:kari@example.no", None, [TTD, SKD, BAKERY, ACCOUNTANT, OTHER_BANK]),
        (None, None, [TTD, SKD, BAKERY, ACCOUNTANT, OTHER_BANK]),
    ],
)
def test_event_of_a_correspondence_is_seen_by_its_recipient_and_the_owners(
    service: RunningService, app: str, subject: str | None, alternative: str | None, readers: list[str]
) -> None:
    """A recipient without a party in the register is none: in development every organisation sees the event."""
    body = correspondence_event(app, subject, alternative)
    id_ = publish(service, body)
    pages = {number: read_resource(service, number, app) for number in (TTD, SKD, BAKERY, ACCOUNTANT, OTHER_BANK)}
    (event,) = pages[TTD].json()
    recipients = {KARI: {}, BAKERY: {}, ACCOUNTANT: {"unit": BAKERY}}
    seen = {
        number
        for number, party in recipients.items()
        if id_ in read_party(service, number, str(event["type"]), **party)
    }

    assert readers == [number for number, page in pages.items() if [id_] == event_ids(page)]
    assert {BAKERY_URN: {BAKERY, ACCOUNTANT}, KARI_URN: {KARI}}.get(subject or "", set()) == seen
    assert (subject, alternative) == (event.get("subject"), event.get("alternativesubject"))
    assert "2026-01-31T12:34:56.1234567+00:00" == event["time"]
    assert {"duplicate": True, "id": id_} == _receipt(service, body)


def _receipt(service: RunningService, body: bytes) -> Mapping[str, object]:
    """Publish an event again, and return the part of the receipt that shows the repeat."""
    response = post_events(service, EVENTS_PATH, body, scope=SCOPES, media_type=EVENT_MEDIA_TYPE).raise_for_status()
    return {name: response.json()[name] for name in ("duplicate", "id")}


def test_event_of_an_app_from_a_service_of_the_platform_is_in_the_feeds_of_the_app(
    service: RunningService, app: str
) -> None:
    """Its source is no instance of the app. The decision point decides on it as on the app's own events."""
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "type": f"dialog.{app}",
        "source": f"https://platform.example.no/dialogporten/api/v1/enduser/dialogs/{uuid.uuid4()}",
        "resource": f"urn:altinn:resource:app_ttd_{app}",
        "resourceinstance": str(uuid.uuid4()),
        "subject": KARI_URN,
    }
    id_ = publish(service, event)
    owners = {number: event_ids(read_resource(service, number, f"app_ttd_{app}")) for number in (TTD, SKD)}

    assert [id_] == [each["id"] for each in app_feed_events(service, app)]
    assert [id_] == read_party(service, KARI, f"dialog.{app}")
    assert {TTD: [id_], SKD: []} == owners
