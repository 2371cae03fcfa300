"""Apps of Altinn publish unchanged: with a user's token, and their own in the header PlatformAccessToken."""

import functools
import http.client
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.altinn_app import AltinnApp, Certificate, Owner
from tests.support.feeds import PARTY_PATH, app_feed_events, assert_problem, event_ids
from tests.support.platform_issuer import PlatformIssuer
from tests.support.publishing import (
    APP_PATH,
    EVENT_MEDIA_TYPE,
    EVENTS_PATH,
    PUBLISH_SCOPE,
    app_event,
    cloud_event,
    implied,
)
from tests.support.service import (
    ACCOUNTANT,
    BAKERY,
    BAKERYS_PARTY,
    KARI,
    KARIS_PARTY,
    REQUEST_SECONDS_MAX,
    SKD,
    RunningService,
    bearer,
    free_port,
    running_service,
)

COMPLETED = "app.instance.process.completed"
CERTIFICATE = Certificate.make("ttd")
# A self-identified user, whom the register of these tests knows by a number.
MARI, MARIS_PARTY = "03838012347", "50000099"
OWNERS = {
    "person": Owner(KARIS_PARTY, person=KARI),
    "organisation": Owner(BAKERYS_PARTY, organisation=BAKERY),
    "self-identified user": Owner(MARIS_PARTY, external="urn:altinn:person:idporten-email:mari+1@example.no"),
}


@pytest.fixture(scope="module")
def altinn(issuer: PlatformIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that has the certificate of `ttd`. Its register has an accountant of all owners."""
    folder = tmp_path_factory.mktemp("altinn")
    (folder / "app-keys").mkdir()
    (folder / "app-keys" / "ttd.pem").write_bytes(CERTIFICATE.pem)
    population = json.loads(files("eventfeed.access").joinpath("population.json").read_text())
    population["people"].append({"number": MARI, "party": MARIS_PARTY, "user": "20000099", "name": "Mari"})
    for entry in population["organisations"]:
        if entry["number"] == ACCOUNTANT:
            entry["acts_for"] = [owner.party for owner in OWNERS.values()]
    (folder / "register.json").write_text(json.dumps(population))
    settings = {"EVENTFEED_REGISTER": "register.json", "EVENTFEED_APP_TOKEN_KEYS": "app-keys"}
    with running_service(folder, EVENTFEED_PLATFORM_ISSUER=issuer.url, **settings) as service:
        yield service


@pytest.fixture
def altinn_app(app: str) -> AltinnApp:
    """An app of `ttd` that no other test uses."""
    return AltinnApp("ttd", app, CERTIFICATE)


def user_token(issuer: PlatformIssuer, owner: str) -> str:
    """The platform's token of the user of the app (of a self-identified one as Altinn/AltinnTestTools writes it)."""
    match owner:
        case "person":
            return issuer.person_token("20000001", KARIS_PARTY)
        case "organisation":
            return issuer.organisation_token(BAKERY, "altinn:serviceowner/instances.write")
        case _:
            method = {"urn:altinn:authenticatemethod": "SelfIdentified", "urn:altinn:authlevel": 0}
            names = {"urn:altinn:username": "mari", "acr": "idporten-loa-low", "amr": ["SelfIdentified"]}
            return issuer.person_token("20000099", MARIS_PARTY, **method, **names)


def send(url: str, request: bytes) -> tuple[int, bytes]:
    """Send a request as it is, and return the status and the body of the response."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=REQUEST_SECONDS_MAX) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.read()


def publish(
    service: RunningService, app_token: str, event: object, *, token: str | None = None, path: str = APP_PATH
) -> httpx.Response:
    """Publish an event with an app token, and the token of Kari or of another caller."""
    media_type = "application/json" if path == APP_PATH else EVENT_MEDIA_TYPE
    headers = {**bearer(token or service.person_token(KARI)), "PlatformAccessToken": app_token}
    return service.client.post(path, content=json.dumps(event), headers={**headers, "Content-Type": media_type})


def read_party(service: RunningService, token: str, party: str) -> httpx.Response:
    """The events of a party."""
    body = {"after": "0", "party": party, "size": 1000}
    return service.client.post(f"{PARTY_PATH}/", json=body, headers=bearer(token))


def test_double_sends_the_bytes_of_the_library() -> None:
    """As written down from its source: members, order, null, escapes, time and headers."""
    app, owner = AltinnApp("ttd", "bolig", CERTIFICATE), OWNERS["self-identified user"]
    guid, now = "1b9e6a52-0c1d-4a53-8e0e-5a8f3c1d0001", 1_769_860_800_123_456_700
    event = app.event(COMPLETED, owner=owner, guid=guid, now=now)
    whole_second = app.event(COMPLETED, owner=owner, guid=guid, now=1_769_860_800_000_000_000)
    request = app.request("http://127.0.0.1:8080", bearer="b", event=event, app_token="a")

    assert (
        b'{"id":null,"source":"https://ttd.apps.example.no/ttd/bolig/instances/50000099/%b","specversion":"1.0",'
        b'"type":"app.instance.process.completed","subject":"/party/50000099","time":"2026-01-31T12:00:00.1234567Z",'
        b'"alternativesubject":"urn:altinn:person:idporten-email:mari\\u002B1@example.no",'
        b'"data":null,"dataschema":null,"contenttype":null}'
    ) % guid.encode() == event
    assert b'"time":"2026-01-31T12:00:00Z"' in whole_second
    assert (
        b"POST /events/api/v1/app HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer b\r\n"
        b"PlatformAccessToken: a\r\nOcp-Apim-Subscription-Key: key\r\nAccept: application/json\r\n"
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n"
        b"Content-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b" % (len(event), event)
    ) == request


@pytest.mark.parametrize("owner", OWNERS)
def test_event_of_an_altinn_app_is_in_the_feeds_of_its_readers(
    altinn: RunningService, issuer: PlatformIssuer, altinn_app: AltinnApp, owner: str
) -> None:
    """S1: its organisation. S2: the owner, or a person who acts for it. S3: a professional organisation."""
    guid = str(uuid.uuid4())
    body = altinn_app.event(COMPLETED, owner=OWNERS[owner], guid=guid, now=time.time_ns() - 1_000_000_000)
    request = altinn_app.request(altinn.url, bearer=user_token(issuer, owner), event=body)
    status, response = send(altinn.url, request)
    assert 201 == status, response
    receipt, sent = json.loads(response), json.loads(body)

    query = "from=2026-01-01T00:00:00Z&eventType=instance.process.completed"
    s1_token = altinn.token(f"altinn:events/ttd/{altinn_app.name}")
    s1 = altinn.client.get(f"/events/api/v1/app/ttd/{altinn_app.name}?{query}", headers=bearer(s1_token))
    s2 = read_party(altinn, altinn.person_token(MARI if owner.startswith("self") else KARI), OWNERS[owner].party)
    s3 = read_party(altinn, altinn.token("altinn:any", organisation=ACCOUNTANT), OWNERS[owner].party)
    (event,) = s1.raise_for_status().json()

    published = {name: value for name, value in sent.items() if value is not None or name == "data"}
    added = {name: event[name] for name in ("traceparent",) if name in event}
    assert {**published, "id": receipt["id"], "sequence": receipt["sequence"], **implied(sent), **added} == event
    assert event in s2.raise_for_status().json()
    assert event in s3.raise_for_status().json()


@pytest.mark.parametrize(
    "alternative_subject",
    [
        "/org/310000011",
        "/organisation/310000011",
        "/person/01838012345",
        "urn:altinn:person:idporten-email:mari+1@example.no",
        "urn:altinn:person:legacy-selfidentified:mari",
        "urn:altinn:username:mari",
        "urn:altinn:person:idporten-email:blåbær@example.no",
    ],
)
def test_alternative_subject_of_an_app_is_a_filter(
    altinn: RunningService, altinn_app: AltinnApp, alternative_subject: str
) -> None:
    """It is stored as it came, and matched as a whole."""
    wanted = cloud_event(altinn_app.name, alternativesubject=alternative_subject)
    other = cloud_event(altinn_app.name, alternativesubject=f"{alternative_subject}x")
    for event in (wanted, other):
        publish(altinn, altinn_app.app_token(), event).raise_for_status()
    token = altinn.token(f"altinn:events/ttd/{altinn_app.name}")
    header = {"Altinn-AlternativeSubject": alternative_subject.replace("å", "%C3%A5").replace("æ", "%C3%A6")}
    path = f"/events/api/v1/app/ttd/{altinn_app.name}?after=0"
    (event,) = altinn.client.get(path, headers={**bearer(token), **header}).raise_for_status().json()

    assert (wanted["id"], alternative_subject) == (event["id"], event["alternativesubject"])


@pytest.mark.parametrize(("path", "status"), [(APP_PATH, 201), (EVENTS_PATH, 200)])
def test_app_token_permits_events_of_its_app_only(
    altinn: RunningService, altinn_app: AltinnApp, path: str, status: int
) -> None:
    """Another app of the same organisation, and an app of another one, are refused. The refusal names the app."""
    token, name = altinn_app.app_token(), altinn_app.name
    own = cloud_event(name)
    foreign = [cloud_event(f"{name}x"), {**own, "source": str(own["source"]).replace("/ttd/", "/skd/")}]
    problems = [assert_problem(publish(altinn, token, each, path=path), 403, "foreign-source") for each in foreign]

    assert status == publish(altinn, token, own, path=path).status_code
    for problem in problems:
        assert f"ttd/{name} only" in str(problem["detail"])
        assert [{"pointer": "/source", "detail": f"does not belong to the app ttd/{name}"}] == problem["errors"]


@pytest.mark.parametrize("caller", [*OWNERS, "person of the exchange", "system user", "vendor"])
def test_any_caller_with_a_platform_token_publishes_through_the_app(
    altinn: RunningService, issuer: PlatformIssuer, altinn_app: AltinnApp, caller: str
) -> None:
    """The app token gives the right. The scope of a vendor does not count for its system user."""
    match caller:
        case "person of the exchange":
            token = altinn.person_token(KARI, level="low")
        case "system user":
            token = altinn.system_user_token(PUBLISH_SCOPE)
        case "vendor":
            token = altinn.token("altinn:events.subscribe", organisation=ACCOUNTANT)
        case _:
            token = user_token(issuer, caller)
    event = app_event(altinn_app.name)
    alone = altinn.client.post(APP_PATH, json=event, headers=bearer(token))

    assert_problem(alone, 403, "insufficient-scope")
    assert 201 == publish(altinn, altinn_app.app_token(), event, token=token).status_code
    assert_problem(publish(altinn, altinn_app.app_token(), app_event("other"), token=token), 403, "foreign-source")


def test_app_token_gives_no_right_to_other_resources(altinn: RunningService, altinn_app: AltinnApp) -> None:
    """Not even to those of its organisation: they need the scope and a right to the resource."""
    event = {**cloud_event(altinn_app.name), "source": "https://ttd.no/ttd/x", "resource": "urn:altinn:resource:ttd-x"}

    assert_problem(publish(altinn, altinn_app.app_token(), event, path=EVENTS_PATH), 403, "foreign-source")


def test_batch_with_a_foreign_event_is_refused_as_a_whole(altinn: RunningService, altinn_app: AltinnApp) -> None:
    """The pointer names the foreign one."""
    batch = [app_event(altinn_app.name), app_event("other")]
    problem = assert_problem(publish(altinn, altinn_app.app_token(), batch), 403, "foreign-source")

    assert ["/1/source"] == [error["pointer"] for error in problem["errors"]]  # type: ignore[attr-defined]  # a list
    assert [] == app_feed_events(altinn, altinn_app.name)


def test_instance_belongs_to_the_app_that_published_it_first(altinn: RunningService, altinn_app: AltinnApp) -> None:
    """An app token gives no right to the instance of another app."""
    event = app_event(altinn_app.name)
    publish(altinn, altinn_app.app_token(), event).raise_for_status()
    other = AltinnApp("ttd", f"{altinn_app.name}x", CERTIFICATE)
    foreign = {**event, "source": str(event["source"]).replace(altinn_app.name, other.name)}

    assert_problem(publish(altinn, other.app_token(), foreign), 403, "foreign-source")


def test_repeat_with_another_right_is_a_duplicate(altinn: RunningService, altinn_app: AltinnApp) -> None:
    """The same event by the scope of the organisation, and on the other route."""
    event = cloud_event(altinn_app.name)
    first = publish(altinn, altinn_app.app_token(), event).raise_for_status().json()
    by_scope = publish(altinn, "", event, token=altinn.token(PUBLISH_SCOPE)).raise_for_status().json()
    other_route = publish(altinn, altinn_app.app_token(), event, path=EVENTS_PATH).raise_for_status().json()

    assert {**first, "duplicate": True} == by_scope == other_route


def test_app_token_adds_to_the_rights_of_a_scope(altinn: RunningService, altinn_app: AltinnApp) -> None:
    """An organisation with the scope uses the app of another one: neither right must be enough for all events."""
    token = altinn.token(PUBLISH_SCOPE, organisation=SKD)
    own = app_event(altinn_app.name)
    skd = {**app_event(altinn_app.name), "source": f"https://skd.no/skd/x/instances/1/{uuid.uuid4()}"}

    assert 201 == publish(altinn, altinn_app.app_token(), [own, skd], token=token).status_code
    assert_problem(publish(altinn, altinn_app.app_token(), app_event("other"), token=token), 403, "foreign-source")
    assert 201 == publish(altinn, "nonsense", skd, token=token).status_code
    assert_problem(publish(altinn, "nonsense", own, token=token), 401, "unauthenticated")


@pytest.mark.parametrize("header", ["", "x", "Bearer {}", "{}x", "{} {}", "x" * 60_000, "\xf8", "a.b.c"], ids=range(8))
def test_invalid_app_token_is_refused_with_401(altinn: RunningService, altinn_app: AltinnApp, header: str) -> None:
    """The problem says which of the two tokens is invalid. Nothing is written."""
    text = header.format(*[altinn_app.app_token()] * 2)
    headers = {**bearer(altinn.person_token(KARI)), "PlatformAccessToken": text.encode("latin-1")}
    response = altinn.client.post(APP_PATH, json=app_event(altinn_app.name), headers=headers)  # type: ignore[arg-type]
    problem = assert_problem(response, 401, "unauthenticated")

    assert "The app token in the header PlatformAccessToken is invalid." in str(problem["detail"])
    assert "invalid_token" in response.headers["www-authenticate"]
    assert [] == app_feed_events(altinn, altinn_app.name)


def test_bearer_token_is_required_beside_an_app_token(altinn: RunningService, altinn_app: AltinnApp) -> None:
    """If both are invalid, the bearer token is named first."""
    event, app_token = app_event(altinn_app.name), {"PlatformAccessToken": altinn_app.app_token()}
    without = assert_problem(altinn.client.post(APP_PATH, json=event, headers=app_token), 401, "unauthenticated")
    both = {"PlatformAccessToken": "x", "Authorization": "Bearer x"}
    invalid = assert_problem(altinn.client.post(APP_PATH, json=event, headers=both), 401, "unauthenticated")

    assert "Authorization: Bearer" in str(without["detail"])
    assert "PlatformAccessToken" not in str(invalid["detail"])


def test_repeated_app_token_is_refused_with_400(altinn: RunningService, altinn_app: AltinnApp) -> None:
    """The service must not choose one of them."""
    token = altinn_app.app_token()
    headers = [*bearer(altinn.person_token(KARI)).items(), ("PlatformAccessToken", token), ("platformaccesstoken", "x")]
    response = altinn.client.post(APP_PATH, json=app_event(altinn_app.name), headers=headers)

    assert "platformaccesstoken" in str(assert_problem(response, 400, "invalid-request")["detail"])


def test_user_without_an_app_token_may_not_publish(altinn: RunningService, altinn_app: AltinnApp) -> None:
    """A user's token alone gives no right. Nor does an app token help to read."""
    event, token = app_event(altinn_app.name), altinn.person_token(KARI)
    alone = altinn.client.post(APP_PATH, json=event, headers=bearer(token))
    headers = {**bearer(token), "PlatformAccessToken": altinn_app.app_token()}
    feed = altinn.client.get(f"/events/api/v1/app/ttd/{altinn_app.name}?after=0", headers=headers)

    assert PUBLISH_SCOPE == assert_problem(alone, 403, "insufficient-scope")["scope"]
    assert_problem(feed, 403, "insufficient-scope")


def test_service_without_keys_of_apps_ignores_the_header(service: RunningService, altinn_app: AltinnApp) -> None:
    """The scope decides, for any content of the header."""
    for header in (altinn_app.app_token(), "", "x" * 60_000):
        assert_problem(publish(service, header, app_event(altinn_app.name)), 403, "insufficient-scope")
        token = service.token(PUBLISH_SCOPE)
        assert 201 == publish(service, header, app_event(altinn_app.name), token=token).status_code


def test_keys_that_are_away_are_503_for_their_apps_alone(tmp_path: Path, altinn_app: AltinnApp) -> None:
    """The app may try again. Publishers with a scope notice nothing."""
    address = f"http://127.0.0.1:{free_port()}/apps"
    with running_service(tmp_path, EVENTFEED_APP_TOKEN_KEYS=address) as service:
        response = publish(service, altinn_app.app_token(), app_event(altinn_app.name))
        by_scope = publish(
            service, altinn_app.app_token(), app_event(altinn_app.name), token=service.token(PUBLISH_SCOPE)
        )

    assert_problem(response, 503, "unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert 201 == by_scope.status_code


def test_keys_at_an_address_permit_the_apps_of_their_organisation(tmp_path: Path, altinn_app: AltinnApp) -> None:
    """An organisation without a file there is 401."""
    (tmp_path / "ttd.pem").write_bytes(CERTIFICATE.pem)
    with file_server(tmp_path) as url, running_service(tmp_path, EVENTFEED_APP_TOKEN_KEYS=url) as service:
        own = publish(service, altinn_app.app_token(), app_event(altinn_app.name))
        other = publish(service, altinn_app._replace(org="skd").app_token(), app_event(altinn_app.name))

    assert 201 == own.status_code
    assert "no keys of its issuer, skd" in str(assert_problem(other, 401, "unauthenticated")["detail"])


@contextmanager
def file_server(directory: Path) -> Iterator[str]:
    """Serve the files of a directory on loopback, and yield the URL."""
    handler = functools.partial(SilentFileHandler, directory=str(directory))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class SilentFileHandler(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_event_of_an_app_token_is_in_the_page_of_its_location(altinn: RunningService, altinn_app: AltinnApp) -> None:
    """`Location` is a read that returns it, with the scope of its organisation."""
    response = publish(altinn, altinn_app.app_token(), event := cloud_event(altinn_app.name))
    token = altinn.token(f"altinn:events/ttd/{altinn_app.name}")
    page = altinn.client.get(response.headers["location"], headers=bearer(token))

    assert [event["id"]] == event_ids(page)
