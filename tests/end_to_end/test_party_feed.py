"""What is new for a party, and of a resource: each event as the decision point says (contract S2 and S3)."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.test_publishing import APP, EVENTS, PUBLISH, post, refused
from tests.support.service import (
    ACCOUNTANT,
    BAKERY,
    BAKERYS_PARTY,
    KARI,
    KARIS_PARTY,
    OLA,
    OLAS_PARTY,
    OTHER_BANK,
    SKD,
    TTD,
    Served,
    bearer,
    free_port,
    serving,
)

PARTIES = (KARIS_PARTY, OLAS_PARTY, BAKERYS_PARTY, "51000022")
RESOURCE = "urn:altinn:resource:app_ttd_{}"
PARTY = "/events/api/v1/party"


def about(app: str, party: str, **changes: object) -> dict[str, object]:
    """An app's event about a party."""
    source = f"https://ttd.apps.example.no/ttd/{app}/instances/{party}/{uuid.uuid4()}"
    base = {"id": str(uuid.uuid4()), "source": source, "specversion": "1.0", "type": "instance.created"}
    return {**base, "subject": f"/party/{party}", **changes}


@pytest.fixture
def published(served: Served, app: str) -> Mapping[str, list[str]]:
    """Three events of each party in turn, published in one app; the ids of each party's."""
    events = [about(app, party) for _ in range(3) for party in PARTIES]
    post(served, APP, events).raise_for_status()
    return {party: [str(event["id"]) for event in events if f"/{party}/" in str(event["source"])] for party in PARTIES}


def token_of(served: Served, who: str, *, level: str = "high") -> str:
    """A person's token, or an organisation's, by the length of their number."""
    return served.person_token(who, level=level) if len(who) == 11 else served.token("altinn:events", organisation=who)


def ask(served: Served, who: str, app: str, **body: object) -> httpx.Response:
    """What is new in this app; `level` is how surely they are known."""
    level = str(body.pop("level", "high"))
    sent = {"after": "0", "size": 1000, "source": f"https://ttd.apps.example.no/ttd/{app}/", **body}
    return served.client.post(f"{PARTY}/", json=sent, headers=bearer(token_of(served, who, level=level)))


def ids(answer: httpx.Response) -> list[str]:
    """The events of a page."""
    return [event["id"] for event in answer.raise_for_status().json()]


@pytest.mark.parametrize(
    ("who", "sees"),
    [
        (KARI, {KARIS_PARTY, BAKERYS_PARTY}),
        (OLA, {OLAS_PARTY}),
        (BAKERY, {BAKERYS_PARTY}),
        (ACCOUNTANT, {BAKERYS_PARTY, "51000022"}),
        (OTHER_BANK, set()),
        (TTD, set()),
        ("310009999", set()),
    ],
)
def test_everybody_sees_what_they_may(
    served: Served, app: str, published: Mapping[str, list[str]], who: str, sees: set[str]
) -> None:
    """Their own party, whom they act for, and nobody else; whatever is hidden is passed by the cursor."""
    pages = {party: ask(served, who, app, party=party) for party in PARTIES}
    head = served.client.get("/events/api/v1/head", headers=bearer(token_of(served, who))).json()["cursor"]

    assert {party: published[party] if party in sees else [] for party in PARTIES} == {
        party: ids(page) for party, page in pages.items()
    }
    assert {(head.partition(".")[0], "false")} == {
        (page.headers["feed-cursor"].partition(".")[0], page.headers["feed-more"]) for page in pages.values()
    }


@pytest.mark.parametrize(
    ("named", "party"),
    [
        ({"unit": BAKERY}, BAKERYS_PARTY),
        ({"person": KARI}, KARIS_PARTY),
        ({"party": KARIS_PARTY, "person": KARI}, KARIS_PARTY),
        ({"party": int(KARIS_PARTY)}, KARIS_PARTY),
        ({}, KARIS_PARTY),
        ({"party": None, "unit": None}, KARIS_PARTY),
        ({"unit": "999999999"}, None),
        ({"person": "01018012345"}, None),
        ({"person": OLA}, None),
        ({"party": KARIS_PARTY, "unit": BAKERY}, None),
    ],
    ids=str,
)
def test_a_party_has_several_names(
    served: Served, app: str, published: Mapping[str, list[str]], named: dict[str, object], party: str | None
) -> None:
    """A party, an organisation or a person; nobody is oneself, an unknown person looks like one without rights."""
    assert (published[party] if party else []) == ids(ask(served, KARI, app, **named))


def test_existing_clients_ask_by_query(served: Served, app: str, published: Mapping[str, list[str]]) -> None:
    """GET gives what POST gives; the person number stands in a header, and not in the next link."""
    headers = {**bearer(served.person_token(KARI)), "person": KARI}
    query = {"from": "2020-01-01T00:00:00Z", "source": f"https://ttd.apps.example.no/ttd/{app}/", "size": "2"}
    first = served.client.get("/events/api/v1/app/party", params=query, headers=headers)
    second = served.client.get(first.headers["next"], headers=headers)

    assert published[KARIS_PARTY] == [*ids(first), *ids(second)]
    assert KARI not in first.headers["next"]


@pytest.mark.parametrize("size", [1, 2, 50])
def test_the_link_of_a_post_is_asked_with_the_same_body(
    served: Served, app: str, published: Mapping[str, list[str]], size: int
) -> None:
    """It holds `after` and `size`, which come before those of the body."""
    headers = bearer(served.person_token(KARI))
    body = {"after": "0", "size": size, "source": f"https://ttd.apps.example.no/ttd/{app}/", "party": BAKERYS_PARTY}
    page = served.client.post(PARTY, json=body, headers=headers)
    seen = ids(page)
    while page.headers["feed-more"] == "true":
        assert {"after", "size"} == httpx.URL(page.headers["next"]).params.keys()
        page = served.client.post(page.headers["next"], json=body, headers=headers)
        seen += ids(page)

    assert published[BAKERYS_PARTY] == seen


@pytest.mark.parametrize("level", ["low", "substantial", "high"])
def test_reading_takes_level_three(served: Served, app: str, published: Mapping[str, list[str]], level: str) -> None:
    """ID-porten's low is 0; substantial is enough."""
    assert ([] if level == "low" else published[KARIS_PARTY]) == ids(ask(served, KARI, app, level=level))


def test_types_filter_a_party(served: Served, app: str, published: Mapping[str, list[str]]) -> None:
    """By either name, one or several."""
    completed = about(app, KARIS_PARTY, type="instance.process.completed")
    post(served, APP, completed).raise_for_status()

    assert [completed["id"]] == ids(ask(served, KARI, app, eventType="instance.process.completed"))
    assert [completed["id"]] == ids(ask(served, KARI, app, type=["instance.process.completed"]))
    assert [*published[KARIS_PARTY], completed["id"]] == ids(
        ask(served, KARI, app, eventType=["instance.process.completed", "instance.created"])
    )


def test_an_unchanged_page_is_not_sent_again(served: Served, app: str, published: Mapping[str, list[str]]) -> None:
    """304 to the same caller with the same body; anyone else, or anything else asked, is another page."""
    first = ask(served, KARI, app, party=BAKERYS_PARTY)
    condition = {"If-None-Match": first.headers["etag"]}
    body = {"after": "0", "size": 1000, "source": f"https://ttd.apps.example.no/ttd/{app}/", "party": BAKERYS_PARTY}
    kari, ola = bearer(served.person_token(KARI)), bearer(served.person_token(OLA))
    again = served.client.post(f"{PARTY}/", json=body, headers={**kari, **condition})
    other = served.client.post(f"{PARTY}/", json={**body, "type": "x"}, headers={**kari, **condition})
    another = served.client.post(f"{PARTY}/", json=body, headers={**ola, **condition})

    assert len(published[BAKERYS_PARTY]) == len(first.json())
    assert (304, 200, 200) == (again.status_code, other.status_code, another.status_code)


def test_a_tag_does_not_tell_who_exists(served: Served) -> None:
    """Without rights only what was asked is told: the same question has the same tag, whoever it finds."""
    token = bearer(served.token("", organisation=OTHER_BANK))

    def tag(**body: str) -> str:
        answer = served.client.post(PARTY, json={"after": "0", "size": "1", **body}, headers=token)
        assert [] == answer.raise_for_status().json()
        return str(answer.headers["etag"])

    people, unit, party = [KARI, "99999999999", "99999999998"], {"unit": BAKERY}, {"party": KARIS_PARTY}
    tags = [*(tag(person=number) for number in people), tag(**unit), tag(**party)]

    assert tags == [*(tag(person=number) for number in people), tag(**unit), tag(**party)]
    assert 5 == len(set(tags))


def test_an_event_id_is_a_place_for_whoever_may_see_it(
    served: Served, app: str, published: Mapping[str, list[str]]
) -> None:
    """To anyone else it is no cursor, as an unknown one is."""
    first, *rest = published[KARIS_PARTY]
    hidden = ask(served, OLA, app, after=first, party=KARIS_PARTY)

    assert rest == ids(ask(served, KARI, app, after=first))
    refused(hidden, 400, "invalid-cursor")


@pytest.mark.parametrize(
    ("query", "body", "pointers"),
    [
        ("", {}, [None]),
        ("", {"after": "0", "nothing": 1, "size": 0}, ["/nothing", "/size"]),
        ("", {"after": "0", "eventType": [1.5], "type": True}, ["/eventType", "/type"]),
        ("", {"after": "0", "person": int(KARI)}, ["/person"]),
        ("", {"after": ["0"]}, ["/after", None]),
        ("?party=50000001", {"after": "0"}, [None]),
        ("?from=2020-01-01T00:00:00Z", {"after": "0"}, [None]),
        ("?size=x", {"after": "0", "size": 5}, [None]),
        ("", [], [""]),
        ("", "x", [""]),
    ],
    ids=str,
)
def test_every_fault_of_a_body_has_its_pointer(
    served: Served, query: str, body: object, pointers: list[str | None]
) -> None:
    """Faults in the body by pointer, in the query by parameter, all at once."""
    answer = served.client.post(PARTY + query, json=body, headers=bearer(served.person_token(KARI)))
    errors = refused(answer, 400, "invalid-request")["errors"]
    assert isinstance(errors, list)

    assert sorted(pointers, key=str) == sorted((error.get("pointer") for error in errors), key=str) or (
        "" in pointers and "" in [error.get("pointer") for error in errors]
    )


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain"])
def test_a_body_is_json(served: Served, media_type: str) -> None:
    """Anything else is named as what is not read; nothing at all is an empty object."""
    headers = {**bearer(served.person_token(KARI)), "Content-Type": media_type}

    refused(served.client.post(PARTY, content=b"after=0", headers=headers), 415, "unsupported-media-type")
    assert 200 == served.client.post(f"{PARTY}?after=0", headers=headers).status_code


def test_nobody_asks_without_a_token(served: Served) -> None:
    """401, in every way of asking."""
    refused(served.client.post(f"{PARTY}/", json={"after": "0"}), 401, "unauthenticated")
    refused(served.client.get("/events/api/v1/app/party?after=0"), 401, "unauthenticated")
    refused(served.client.get("/events/api/v1/events?after=0&resource=x"), 401, "unauthenticated")


def of_resource(served: Served, who: str, resource: str, **query: str) -> httpx.Response:
    """A resource's events."""
    token = served.token("altinn:events.subscribe", organisation=who)
    params = {"after": "0", "size": "1000", "resource": resource, **query}
    return served.client.get("/events/api/v1/events", params=params, headers=bearer(token))


@pytest.mark.parametrize(
    ("who", "sees"), [(ACCOUNTANT, [BAKERYS_PARTY, "51000022"]), (BAKERY, [BAKERYS_PARTY]), (SKD, [])]
)
def test_a_resource_shows_what_its_reader_may_see(
    served: Served, app: str, published: Mapping[str, list[str]], who: str, sees: list[str]
) -> None:
    """Of every party, in one sequence, each event decided on."""
    expected = {each for party in sees for each in published[party]}

    assert expected == set(ids(of_resource(served, who, RESOURCE.format(app))))
    assert [] == ids(of_resource(served, who, RESOURCE.format(app), party=KARIS_PARTY))


def test_a_resource_that_is_no_apps(served: Served, app: str) -> None:
    """Any resource has a feed; an event about no party is nobody's to see here."""
    resource, source = f"urn:altinn:resource:{app}", f"https://ttd.example.no/ttd/{app}"
    base = {"specversion": "1.0", "type": "t", "source": source, "resource": resource}
    events = [{**base, "id": "1", "subject": f"/party/{BAKERYS_PARTY}"}, {**base, "id": "2"}]
    content = json.dumps(events).encode()
    post(served, EVENTS, content, media_type="application/cloudevents-batch+json").raise_for_status()

    assert ["1"] == ids(of_resource(served, BAKERY, resource))
    assert [] == ids(of_resource(served, BAKERY, f"{resource}x"))


def test_a_resource_feed_needs_its_scope_and_a_resource(served: Served) -> None:
    """From Maskinporten, held whole."""
    resource = RESOURCE.format("a")
    path = f"/events/api/v1/events?after=0&resource={resource}"
    for token in (served.token(PUBLISH), served.token("altinn:events.subscriber"), served.person_token(KARI)):
        problem = refused(served.client.get(path, headers=bearer(token)), 403, "insufficient-scope")
        assert "altinn:events.subscribe" == problem["scope"]
    subscriber = bearer(served.token("altinn:events.subscribe"))
    refused(served.client.get("/events/api/v1/events?after=0", headers=subscriber), 400, "invalid-request")


def test_a_silent_decision_point_is_no_empty_page(tmp_path: Path) -> None:
    """503 and Retry-After while the platform does not answer; feeds that need no decision go on."""
    register = tmp_path / "register.json"
    register.write_text('{"organisations": [], "people": []}')
    platform = f"http://127.0.0.1:{free_port()}"
    with serving(tmp_path, "--sample") as served:
        token, reader = served.person_token(KARI), served.token("altinn:events/ttd/bolig")
        port = served.url.rpartition(":")[2]
    settings = {"EVENTFEED_PLATFORM_URL": platform, "EVENTFEED_PLATFORM_ORGS_URL": f"{platform}/orgs"}
    with serving(tmp_path, EVENTFEED_PORT=port, **settings) as served:
        asked = served.client.post(PARTY, json={"after": "0"}, headers=bearer(token))
        by_unit = served.client.post(PARTY, json={"after": "0", "unit": BAKERY}, headers=bearer(token))
        app = served.client.get("/events/api/v1/app/ttd/bolig?after=0", headers=bearer(reader))

    refused(asked, 503, "unavailable")
    refused(by_unit, 503, "unavailable")
    assert asked.headers["retry-after"].isdecimal()
    assert 200 == app.status_code
