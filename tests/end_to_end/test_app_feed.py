"""Reading an app's feed over HTTP: parameters, headers, and every wrong thing answered rightly."""

import itertools
import time
import uuid
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.end_to_end.test_publishing import APP, PUBLISH, app_event, cloud_event, post, refused
from tests.support.service import SKD, Served, bearer, serving


@pytest.fixture
def cases(served: Served, app: str) -> list[dict[str, str]]:
    """Receipts of twelve events: created, moved and completed in turn, of two parties in turn."""
    types = itertools.cycle(["instance.created", "instance.process.movedTo.Task_1", "instance.process.completed"])
    events = [
        cloud_event(app, type=type_, subject=f"/party/5000000{1 + number % 2}")
        for number, type_ in zip(range(12), types, strict=False)
    ]
    answer = served.client.post(APP, json=events, headers=bearer(served.token(PUBLISH)))
    receipts: list[dict[str, str]] = answer.raise_for_status().json()
    return receipts


def read(served: Served, app: str, query: str, **headers: str) -> httpx.Response:
    """A page, with the scope for it."""
    sent = {**bearer(served.token(f"altinn:events/ttd/{app}")), **headers}
    return served.client.get(f"/events/api/v1/app/ttd/{app}?{query}", headers=sent)


def ids(answer: httpx.Response) -> list[str]:
    """The events of a page."""
    return [event["id"] for event in answer.raise_for_status().json()]


def every(receipts: list[dict[str, str]]) -> list[str]:
    """The ids of receipts."""
    return [receipt["id"] for receipt in receipts]


@pytest.mark.parametrize("size", [1, 5, 1000, 5000])
def test_following_next_gives_everything_once(served: Served, app: str, cases: list[dict[str, str]], size: int) -> None:
    """From the beginning to Feed-More: false, in pages of any size."""
    answer = read(served, app, f"after=0&size={size}")
    seen = ids(answer)
    while answer.headers["feed-more"] == "true":
        link = answer.headers["next"]
        assert answer.headers["link"] == f'<{link}>; rel="next"'
        answer = served.client.get(link, headers=dict(answer.request.headers))
        seen += ids(answer)

    assert every(cases) == seen


def test_a_page_is_a_cloud_events_batch(served: Served, app: str, cases: list[dict[str, str]]) -> None:
    """The media type, the sequence of 20 digits in order, and the headers of every page."""
    answer = read(served, app, "after=0")
    sequences = [event["sequence"] for event in answer.json()]

    assert "application/cloudevents-batch+json" == answer.headers["content-type"]
    assert [receipt["sequence"] for receipt in cases] == sequences == sorted(sequences)
    assert all(len(sequence) == 20 for sequence in sequences)
    assert {"link", "next", "feed-cursor", "feed-more", "etag", "cache-control", "vary"} <= answer.headers.keys()


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/json", "application/json"),
        ("*/*", "application/cloudevents-batch+json"),
        ("application/*;q=0.1", "application/cloudevents-batch+json"),
        ("text/html, application/json;q=0.2", "application/json"),
    ],
)
def test_the_answer_is_of_the_type_asked_for(served: Served, app: str, accept: str, media_type: str) -> None:
    """JSON when asked, a batch otherwise."""
    assert media_type == read(served, app, "after=0", Accept=accept).headers["content-type"]


def test_what_is_not_served_is_not_acceptable(served: Served, app: str) -> None:
    """406 for other types."""
    refused(read(served, app, "after=0", Accept="text/html"), 406, "not-acceptable")


def test_types_party_and_source_filter(served: Served, app: str, cases: list[dict[str, str]]) -> None:
    """Everything that is given must hold; repeated types are alternatives; the cursor passes the rest."""
    completed = read(served, app, "after=0&eventType=instance.process.completed")
    two = read(served, app, "after=0&type=instance.process.completed&eventType=instance.created&size=3")
    of_party = read(served, app, "after=0&party=50000002&type=instance.created")
    of_source = read(served, app, f"after=0&source={cases[4]['source']}")
    nothing = read(served, app, "after=0&eventType=none")
    end = completed.headers["feed-cursor"].partition(".")[2]

    assert every(cases)[2::3] == ids(completed)
    assert [every(cases)[place] for place in (0, 2, 3)] == ids(two)
    assert [every(cases)[place] for place in (3, 9)] == ids(of_party)
    assert [every(cases)[4]] == ids(of_source)
    assert [] == ids(nothing)
    assert int(end) >= int(cases[-1]["sequence"])
    assert "false" == nothing.headers["feed-more"]


def test_unit_and_person_are_resolved_by_the_register(served: Served, app: str, cases: list[dict[str, str]]) -> None:
    """A person's number comes in a header and leads to the party; who is unknown, or two at once, match nothing."""
    person = read(served, app, "after=0&size=1", person="01838012345")

    assert every(cases)[::2][:1] == ids(person)
    assert "01838012345" not in str(person.headers)
    assert [] == ids(read(served, app, "after=0", person="99999999999"))
    assert [] == ids(read(served, app, "after=0&unit=310000011"))
    assert [] == ids(read(served, app, "after=0&unit=999999999"))
    assert [] == ids(read(served, app, "after=0&party=50000002", person="01838012345"))


def test_times_bound_the_registration(served: Served, app: str, cases: list[dict[str, str]]) -> None:
    """`from` is inclusive and `to` exclusive, on the time in the receipts, with any offset, a lost plus included."""
    registered = cases[0]["time"]
    plus = "2020-01-01T00:00:00 01:00"

    assert every(cases) == ids(read(served, app, f"from={registered}"))
    assert [] == ids(read(served, app, f"from=2020-01-01T00:00:00Z&to={registered}"))
    assert every(cases) == ids(read(served, app, f"from={plus}"))
    assert every(cases) == ids(read(served, app, "from=2020-01-01T00:00:00%2B01:00&to=2999-01-01T00:00:00Z"))
    assert [] == ids(read(served, app, "from=2999-01-01T00:00:00Z"))


def test_next_keeps_what_was_asked(served: Served, app: str, cases: list[dict[str, str]]) -> None:
    """The link is absolute, percent-encoded, and asks the same from further on."""
    answer = read(served, app, "from=2020-01-01T00:00:00%2B01:00&eventType=instance.created&size=2")
    parts = urlsplit(answer.headers["next"])
    query = parse_qs(parts.query, strict_parsing=True)

    assert (served.url, f"/events/api/v1/app/ttd/{app}") == (f"{parts.scheme}://{parts.netloc}", parts.path)
    assert [answer.headers["feed-cursor"]] == query.pop("after")
    assert {"from": ["2020-01-01T00:00:00+01:00"], "eventType": ["instance.created"], "size": ["2"]} == query
    assert every(cases)[6::3] == ids(served.client.get(answer.headers["next"], headers=dict(answer.request.headers)))


def test_an_event_id_and_digits_are_places(served: Served, app: str, cases: list[dict[str, str]]) -> None:
    """After an event's id, and after its bare sequence."""
    assert every(cases)[5:] == ids(read(served, app, f"after={cases[4]['id']}"))
    assert every(cases)[5:] == ids(read(served, app, f"after={cases[4]['sequence']}"))
    assert every(cases)[5:] == ids(read(served, app, f"after={int(cases[4]['sequence'])}"))


@pytest.mark.parametrize("after", ["unknown-id", "999999999", "9" * 30, "", "-1", "x.5"])
def test_a_place_that_is_none_is_refused(served: Served, app: str, after: str) -> None:
    """Unknown, future or malformed."""
    refused(read(served, app, f"after={after}"), 400, "invalid-cursor")


def test_a_future_cursor_is_refused(served: Served, app: str, cases: list[dict[str, str]]) -> None:
    """A cursor of this log that is ahead of it."""
    log = read(served, app, "after=0").headers["feed-cursor"].partition(".")[0]

    assert cases
    refused(read(served, app, f"after={log}.999999999"), 400, "invalid-cursor")


def test_a_cursor_of_another_log_is_refused(served: Served, app: str) -> None:
    """410: never misread as a place in this one."""
    refused(read(served, app, "after=zzzzzzzzzzzz.0"), 410, "cursor-of-another-log")


def test_an_event_id_of_another_feed_is_unknown(served: Served, app: str, cases: list[dict[str, str]]) -> None:
    """A feed's cursor cannot be used to ask whether another feed holds an event."""
    refused(read(served, f"{app}-other", f"after={cases[0]['id']}"), 400, "invalid-cursor")


def test_a_page_that_the_caller_has_is_not_sent_again(served: Served, app: str, cases: list[dict[str, str]]) -> None:
    """304 while all is the same; when the examined position has moved, 200 with the new cursor."""
    token = bearer(served.token(f"altinn:events/ttd/{app}"))
    url = f"/events/api/v1/app/ttd/{app}?after={cases[-1]['sequence']}"
    first = served.client.get(url, headers=token)
    tag = first.headers["etag"]
    same = served.client.get(url, headers={**token, "If-None-Match": f'"other", W/{tag}'})
    served.client.post(APP, json=cloud_event(f"{app}-b"), headers=bearer(served.token(PUBLISH))).raise_for_status()
    moved = served.client.get(url, headers={**token, "If-None-Match": tag})

    assert (304, b"", tag) == (same.status_code, same.content, same.headers["etag"])
    assert (200, []) == (moved.status_code, moved.json())
    assert first.headers["feed-cursor"] != moved.headers["feed-cursor"]


def test_a_tag_is_good_for_its_own_caller_alone(served: Served, app: str) -> None:
    """Another person asked for, or other rights, and it is another page."""
    query = "after=0&size=1&eventType=none"
    kari = read(served, app, query, person="01838012345").headers["etag"]
    ola = read(served, app, query, person="02838012346", **{"If-None-Match": kari})
    wider = served.client.get(
        f"/events/api/v1/app/ttd/{app}?{query}",
        headers={**bearer(served.token("altinn:events/ttd")), "person": "01838012345", "If-None-Match": kari},
    )

    assert (200, 200) == (ola.status_code, wider.status_code)


def test_no_problem_repeats_a_person_number(served: Served, app: str) -> None:
    """Whatever it came in."""
    answers = [
        read(served, app, "after=0&p01838012345=1"),
        served.client.get("/events/api/v1/app/01838012345/x?after=0", headers=bearer(served.token("x"))),
    ]

    assert [400, 403] == [answer.status_code for answer in answers]
    assert not any("01838012345" in answer.text + str(answer.headers) for answer in answers)


def test_every_fault_in_the_parameters_is_named(served: Served, app: str) -> None:
    """All at once, each with its parameter."""
    problem = refused(read(served, app, "from=2026-01-01T00:00:00&size=0&unit=12&party=x"), 400, "invalid-request")

    assert {"from", "size", "unit", "party"} == {
        fault["parameter"]
        for fault in problem["errors"]  # type: ignore[attr-defined]  # a list
    }


def test_a_person_in_a_url_is_refused_and_not_repeated(served: Served, app: str) -> None:
    """A person number belongs in a header."""
    answer = read(served, app, "after=0&person=01838012345")
    refused(answer, 400, "invalid-request")

    assert "01838012345" not in answer.text


def test_without_from_and_after_nothing_is_read(served: Served, app: str) -> None:
    """One of them is required."""
    refused(read(served, app, "size=5"), 400, "invalid-request")


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "altinn:events",
        "altinn:events/tt",
        "altinn:events/ttd/ap",
        "altinn:events/skd",
        "altinn:events/ttd/{app}x",
        "altinn:events/ttd/{app}/",
        "xaltinn:events/ttd/{app}",
        "ALTINN:EVENTS/TTD/{app}",
    ],
)
def test_reading_needs_the_whole_scope(served: Served, app: str, scope: str) -> None:
    """Missing, a prefix of the needed one, or longer: 403 names what is needed."""
    token = served.token(scope.format(app=app))
    answer = served.client.get(f"/events/api/v1/app/ttd/{app}?after=0", headers=bearer(token))
    problem = refused(answer, 403, "insufficient-scope")

    assert f"altinn:events/ttd/{app}" == problem["scope"]
    assert f'scope="altinn:events/ttd/{app}"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("scope", ["altinn:events/ttd", "openid altinn:events/ttd/{app} other"])
def test_an_orgs_scope_is_enough_for_its_apps(served: Served, app: str, scope: str) -> None:
    """One app, or all apps of an org; whoever the organisation is."""
    token = served.token(scope.format(app=app), organisation=SKD)

    assert 200 == served.client.get(f"/events/api/v1/app/ttd/{app}?after=0", headers=bearer(token)).status_code


def test_head_is_where_the_log_ends(served: Served, cases: list[dict[str, str]]) -> None:
    """Any authenticated caller learns the newest cursor and its time; nobody else."""
    answer = served.client.get("/events/api/v1/head", headers=bearer(served.token("")))
    refused(served.client.get("/events/api/v1/head"), 401, "unauthenticated")

    assert int(answer.json()["cursor"].partition(".")[2]) >= int(cases[-1]["sequence"])
    assert answer.json()["time"] >= cases[-1]["time"]


def test_an_old_cursor_is_told_where_to_start(tmp_path: Path) -> None:
    """410 with the oldest cursor, from which reading goes on; the sequence goes on as well."""
    two_seconds = str(2 / 86_400)
    with serving(tmp_path, EVENTFEED_RETENTION_DAYS=two_seconds) as served:
        app = "short"
        publish = bearer(served.token(PUBLISH))
        first = served.client.post(APP, json=cloud_event(app), headers=publish).raise_for_status().json()
        cursor = read(served, app, "after=0&size=1").headers["feed-cursor"]
        served.client.post(APP, json=cloud_event(app), headers=publish).raise_for_status()
        time.sleep(2.5)
        newest = served.client.post(APP, json=cloud_event(app), headers=publish).raise_for_status().json()
        problem = refused(read(served, app, f"after={cursor}"), 410, "cursor-expired")

        assert [newest["id"]] == ids(read(served, app, f"after={problem['oldestCursor']}"))
        assert [newest["id"]] == ids(read(served, app, "after=0"))
        assert [newest["id"]] == ids(read(served, app, f"from={first['time']}"))
        assert (newest["time"], int(first["sequence"]) + 2) == (problem["oldestTime"], int(newest["sequence"]))


@pytest.mark.parametrize("path", ["tt_d/a", "ttd/a%20b", "ttd/%22,%20x=%22", "ttd/%C3%A6", "ttd/a%0Ab", "t%2Ftd/a"])
def test_what_no_app_is_called_is_not_found(served: Served, path: str) -> None:
    """A name that no app can have is nowhere, whatever the token; nothing of it comes back in a header."""
    answer = served.client.get(f"/events/api/v1/app/{path}?after=0", headers=bearer(served.token("altinn:events/ttd")))

    refused(answer, 404, "not-found")


def test_an_event_is_not_seen_under_a_similar_name(served: Served, app: str) -> None:
    """Org and app are two fields: `ttd` and `a_b` are not `ttd_a` and `b`."""
    other = f"{app}_{uuid.uuid4().hex[:4]}"
    served.client.post(APP, json=cloud_event(other), headers=bearer(served.token(PUBLISH))).raise_for_status()

    assert [] == ids(read(served, app, "after=0"))
    assert 1 == len(ids(read(served, other, "after=0")))


def test_a_page_is_compressed_for_whoever_asks(tmp_path: Path) -> None:
    """The same events in fewer bytes, under a tag of its own; either tag gets 304 (RFC 9110 §8.8.3.3)."""
    with serving(tmp_path) as served:
        post(served, APP, [app_event("bolig") for _ in range(50)]).raise_for_status()
        headers = bearer(served.token("altinn:events/ttd"))
        path = "/events/api/v1/app/ttd/bolig?after=0"
        found = [served.client.get(path, headers={**headers, "Accept-Encoding": each}) for each in ("identity", "gzip")]
        plain, coded = found
        tags = [each.headers["etag"] for each in found]
        again = [served.client.get(path, headers={**headers, "If-None-Match": tag}).status_code for tag in tags]
        empty = served.client.get(
            f"{path[:-1]}{plain.headers['feed-cursor']}", headers={**headers, "Accept-Encoding": "gzip"}
        )

    assert plain.json() == coded.json()
    assert [None, "gzip"] == [each.headers.get("content-encoding") for each in found]
    assert int(coded.headers["content-length"]) < int(plain.headers["content-length"]) / 3
    assert 2 == len(set(tags))
    assert [304, 304] == again
    assert "content-encoding" not in empty.headers
    assert "Accept-Encoding" in plain.headers["vary"]
