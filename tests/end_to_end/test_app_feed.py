"""The feed of an app over HTTP: parameters, headers, cursors, scopes and problems."""

import itertools
import re
import uuid
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import apsw
import pytest

from tests.support.feeds import assert_problem, event_ids, read_app_feed
from tests.support.publishing import APP_PATH, PUBLISH_SCOPE, app_event, cloud_event, post_events
from tests.support.service import KARIS_PARTY, SKD, RunningService, bearer, running_service


@pytest.fixture
def cases(service: RunningService, app: str) -> list[dict[str, str]]:
    """The receipts of twelve events, created, moved and completed in turn, of two parties in turn."""
    types = itertools.cycle(["instance.created", "instance.process.movedTo.Task_1", "instance.process.completed"])
    events = [
        cloud_event(app, type=type_, subject=f"/party/5000000{1 + number % 2}")
        for number, type_ in zip(range(12), types, strict=False)
    ]
    response = service.client.post(APP_PATH, json=events, headers=bearer(service.token(PUBLISH_SCOPE)))
    receipts: list[dict[str, str]] = response.raise_for_status().json()
    return receipts


def receipt_ids(receipts: list[dict[str, str]]) -> list[str]:
    """The event ids of receipts."""
    return [receipt["id"] for receipt in receipts]


@pytest.mark.parametrize("size", [1, 5, 1000, 5000])
def test_next_links_of_any_page_size_return_every_event_once(
    service: RunningService, app: str, cases: list[dict[str, str]], size: int
) -> None:
    """Following `next` until `Feed-More: false` returns every event exactly once."""
    response = read_app_feed(service, app, f"after=0&size={size}")
    events = event_ids(response)
    while response.headers["feed-more"] == "true":
        link = response.headers["next"]
        assert response.headers["link"] == f'<{link}>; rel="next"'
        response = service.client.get(link, headers=dict(response.request.headers))
        events += event_ids(response)

    assert receipt_ids(cases) == events


def test_page_is_a_cloudevents_batch_with_its_headers(
    service: RunningService, app: str, cases: list[dict[str, str]]
) -> None:
    """A page has the batch media type, sequences of 20 digits in order, and all page headers."""
    response = read_app_feed(service, app, "after=0")
    sequences = [event["sequence"] for event in response.json()]

    assert "application/cloudevents-batch+json" == response.headers["content-type"]
    assert [receipt["sequence"] for receipt in cases] == sequences == sorted(sequences)
    assert all(len(sequence) == 20 for sequence in sequences)
    assert {"link", "next", "feed-cursor", "feed-more", "etag", "cache-control", "vary"} <= response.headers.keys()
    assert cases[-1]["time"] == response.headers["feed-time"]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/json", "application/json"),
        ("*/*", "application/cloudevents-batch+json"),
        ("application/*;q=0.1", "application/cloudevents-batch+json"),
        ("text/html, application/json;q=0.2", "application/json"),
    ],
)
def test_page_has_the_media_type_that_accept_prefers(
    service: RunningService, app: str, accept: str, media_type: str
) -> None:
    """A page is JSON if `Accept` prefers it, and a CloudEvents batch otherwise."""
    assert media_type == read_app_feed(service, app, "after=0", Accept=accept).headers["content-type"]


def test_unsupported_accept_header_is_rejected_with_406(service: RunningService, app: str) -> None:
    """A media type that no page has gets 406."""
    assert_problem(read_app_feed(service, app, "after=0", Accept="text/html"), 406, "not-acceptable")


def test_filters_by_type_party_and_source_combine(
    service: RunningService, app: str, cases: list[dict[str, str]]
) -> None:
    """All filters apply together, several types are alternatives, and the cursor passes hidden events."""
    completed_page = read_app_feed(service, app, "after=0&eventType=instance.process.completed")
    two_types = read_app_feed(service, app, "after=0&type=instance.process.completed&eventType=instance.created&size=3")
    of_party = read_app_feed(service, app, "after=0&party=50000002&type=instance.created")
    of_source = read_app_feed(service, app, f"after=0&source={cases[4]['source']}")
    empty = read_app_feed(service, app, "after=0&eventType=none")
    cursor = completed_page.headers["feed-cursor"].split(".")[1]

    assert receipt_ids(cases)[2::3] == event_ids(completed_page)
    assert [receipt_ids(cases)[index] for index in (0, 2, 3)] == event_ids(two_types)
    assert [receipt_ids(cases)[index] for index in (3, 9)] == event_ids(of_party)
    assert [receipt_ids(cases)[4]] == event_ids(of_source)
    assert [] == event_ids(empty)
    assert int(cursor) >= int(cases[-1]["sequence"])
    assert "false" == empty.headers["feed-more"]


def test_person_and_unit_filter_by_the_party_of_the_register(
    service: RunningService, app: str, cases: list[dict[str, str]]
) -> None:
    """A person's number comes in a header. An unknown number or two different parties match nothing."""
    page = read_app_feed(service, app, "after=0&size=1", person="01838012345")

    assert receipt_ids(cases)[::2][:1] == event_ids(page)
    assert "01838012345" not in str(page.headers)
    assert [] == event_ids(read_app_feed(service, app, "after=0", person="99999999999"))
    assert [] == event_ids(read_app_feed(service, app, "after=0&unit=310000011"))
    assert [] == event_ids(read_app_feed(service, app, "after=0&unit=999999999"))
    assert [] == event_ids(read_app_feed(service, app, "after=0&party=50000002", person="01838012345"))


def test_from_and_to_limit_the_registration_time(
    service: RunningService, app: str, cases: list[dict[str, str]]
) -> None:
    """`from` is inclusive and `to` exclusive, with any offset, even if the plus sign became a space."""
    first_time = cases[0]["time"]
    space_for_plus = "2020-01-01T00:00:00 01:00"

    assert receipt_ids(cases) == event_ids(read_app_feed(service, app, f"from={first_time}"))
    assert [] == event_ids(read_app_feed(service, app, f"from=2020-01-01T00:00:00Z&to={first_time}"))
    assert receipt_ids(cases) == event_ids(read_app_feed(service, app, f"from={space_for_plus}"))
    assert receipt_ids(cases) == event_ids(
        read_app_feed(service, app, "from=2020-01-01T00:00:00%2B01:00&to=2999-01-01T00:00:00Z")
    )
    assert [] == event_ids(read_app_feed(service, app, "from=2999-01-01T00:00:00Z"))


def test_next_link_keeps_the_parameters(service: RunningService, app: str, cases: list[dict[str, str]]) -> None:
    """The link is absolute, percent-encoded, and repeats the parameters with a new `after`."""
    response = read_app_feed(service, app, "from=2020-01-01T00:00:00%2B01:00&eventType=instance.created&size=2")
    parts = urlsplit(response.headers["next"])
    query = parse_qs(parts.query, strict_parsing=True)

    assert (service.url, f"/events/api/v1/app/ttd/{app}") == (f"{parts.scheme}://{parts.netloc}", parts.path)
    assert [response.headers["feed-cursor"]] == query.pop("after")
    assert {"from": ["2020-01-01T00:00:00+01:00"], "eventType": ["instance.created"], "size": ["2"]} == query
    assert receipt_ids(cases)[6::3] == event_ids(
        service.client.get(response.headers["next"], headers=dict(response.request.headers))
    )


def test_after_accepts_an_event_id_and_a_sequence(
    service: RunningService, app: str, cases: list[dict[str, str]]
) -> None:
    """`after` accepts the id of an event and its sequence, with or without leading zeros."""
    assert receipt_ids(cases)[5:] == event_ids(read_app_feed(service, app, f"after={cases[4]['id']}"))
    assert receipt_ids(cases)[5:] == event_ids(read_app_feed(service, app, f"after={cases[4]['sequence']}"))
    assert receipt_ids(cases)[5:] == event_ids(read_app_feed(service, app, f"after={int(cases[4]['sequence'])}"))


@pytest.mark.parametrize("after", ["unknown-id", "999999999", "9" * 30, "", "-1", "x.5"])
def test_invalid_cursor_is_rejected_with_400(service: RunningService, app: str, after: str) -> None:
    """An unknown, future or malformed cursor gets `invalid-cursor`."""
    assert_problem(read_app_feed(service, app, f"after={after}"), 400, "invalid-cursor")


def test_cursor_past_the_end_is_rejected_with_400(
    service: RunningService, app: str, cases: list[dict[str, str]]
) -> None:
    """A cursor of this log past its end gets `invalid-cursor`."""
    log = read_app_feed(service, app, "after=0").headers["feed-cursor"].partition(".")[0]

    assert cases
    assert_problem(read_app_feed(service, app, f"after={log}.999999999"), 400, "invalid-cursor")


def test_cursor_of_another_log_is_rejected_with_410(service: RunningService, app: str) -> None:
    """A cursor of another log is never read as a position of this one."""
    assert_problem(read_app_feed(service, app, "after=zzzzzzzzzzzz.0"), 410, "cursor-of-another-log")


def test_event_id_of_another_feed_is_rejected_with_400(
    service: RunningService, app: str, cases: list[dict[str, str]]
) -> None:
    """The error does not reveal whether another feed holds the event."""
    assert_problem(read_app_feed(service, f"{app}-other", f"after={cases[0]['id']}"), 400, "invalid-cursor")


def test_unchanged_page_gets_304(service: RunningService, app: str, cases: list[dict[str, str]]) -> None:
    """An unchanged page gets 304. After new events of other feeds, a page with a new cursor gets 200."""
    token = bearer(service.token(f"altinn:events/ttd/{app}"))
    url = f"/events/api/v1/app/ttd/{app}?after={cases[-1]['sequence']}"
    first = service.client.get(url, headers=token)
    tag = first.headers["etag"]
    unchanged_page = service.client.get(url, headers={**token, "If-None-Match": f'"other", W/{tag}'})
    service.client.post(
        APP_PATH, json=cloud_event(f"{app}-b"), headers=bearer(service.token(PUBLISH_SCOPE))
    ).raise_for_status()
    next_page = service.client.get(url, headers={**token, "If-None-Match": tag})

    assert (304, b"", tag) == (unchanged_page.status_code, unchanged_page.content, unchanged_page.headers["etag"])
    assert (200, []) == (next_page.status_code, next_page.json())
    assert first.headers["feed-cursor"] != next_page.headers["feed-cursor"]


def test_feed_time_is_the_registration_time_of_the_last_position_examined(
    service: RunningService, app: str, cases: list[dict[str, str]]
) -> None:
    """Also on an empty page, on a 304 and in the response to HEAD. As `from` it skips nothing."""
    full = read_app_feed(service, app, f"after=0&size=5&party={KARIS_PARTY}")
    empty = read_app_feed(service, app, f"after={cases[2]['sequence']}&to={cases[-1]['time']}&eventType=none")
    tag = {"If-None-Match": empty.headers["etag"]}
    unchanged = service.client.get(empty.url, headers={**empty.request.headers, **tag})
    head = service.client.head(empty.url, headers=empty.request.headers)
    again = read_app_feed(service, app, f"from={full.headers['feed-time']}")

    assert cases[8]["id"] == event_ids(full)[-1]
    assert (cases[8]["time"], []) == (full.headers["feed-time"], event_ids(empty))
    assert cases[8]["id"] in event_ids(again)
    assert (304, 200) == (unchanged.status_code, head.status_code)
    assert empty.headers["feed-time"] == unchanged.headers["feed-time"] == head.headers["feed-time"]
    assert empty.headers["feed-time"] <= cases[-1]["time"]


def test_feed_time_of_an_empty_log_is_before_every_event(tmp_path: Path) -> None:
    """A poller that stores it and sends it as `from` reads from the beginning."""
    with running_service(tmp_path) as service:
        empty = read_app_feed(service, "bolig", "after=0")
        post_events(service, APP_PATH, cloud_event("bolig")).raise_for_status()

        assert "1970-01-01T00:00:00.000000Z" == empty.headers["feed-time"]
        assert 1 == len(event_ids(read_app_feed(service, "bolig", f"from={empty.headers['feed-time']}")))


def test_etag_is_valid_for_one_caller_and_query(service: RunningService, app: str) -> None:
    """Another person in the header, or a token with other scopes, changes the ETag."""
    query = "after=0&size=1&eventType=none"
    karis_tag = read_app_feed(service, app, query, person="01838012345").headers["etag"]
    olas_page = read_app_feed(service, app, query, person="02838012346", **{"If-None-Match": karis_tag})
    wider_page = service.client.get(
        f"/events/api/v1/app/ttd/{app}?{query}",
        headers={**bearer(service.token("altinn:events/ttd")), "person": "01838012345", "If-None-Match": karis_tag},
    )

    assert (200, 200) == (olas_page.status_code, wider_page.status_code)


def test_problem_never_contains_a_person_number(service: RunningService, app: str) -> None:
    """A person number in a query or a path is masked in the problem."""
    responses = [
        read_app_feed(service, app, "after=0&p01838012345=1"),
        service.client.get("/events/api/v1/app/01838012345/x?after=0", headers=bearer(service.token("x"))),
    ]

    assert [400, 403] == [response.status_code for response in responses]
    assert not any("01838012345" in response.text + str(response.headers) for response in responses)


def test_all_invalid_parameters_are_reported_together(service: RunningService, app: str) -> None:
    """The problem has one error for each parameter."""
    problem = assert_problem(
        read_app_feed(service, app, "from=2026-01-01T00:00:00&size=0&unit=12&party=x"), 400, "invalid-request"
    )

    assert {"from", "size", "unit", "party"} == {
        error["parameter"]
        for error in problem["errors"]  # type: ignore[attr-defined]  # a list
    }


def test_person_number_in_the_query_is_rejected_and_masked(service: RunningService, app: str) -> None:
    """`person` is a header, never a query parameter."""
    response = read_app_feed(service, app, "after=0&person=01838012345")
    assert_problem(response, 400, "invalid-request")

    assert "01838012345" not in response.text


def test_request_without_from_and_after_is_rejected(service: RunningService, app: str) -> None:
    """One of `from` and `after` is required."""
    assert_problem(read_app_feed(service, app, "size=5"), 400, "invalid-request")


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
def test_token_without_the_full_scope_is_rejected_with_403(service: RunningService, app: str, scope: str) -> None:
    """A missing, shorter or longer scope is not enough, and the problem names the right one."""
    token = service.token(scope.format(app=app))
    response = service.client.get(f"/events/api/v1/app/ttd/{app}?after=0", headers=bearer(token))
    problem = assert_problem(response, 403, "insufficient-scope")

    assert f"altinn:events/ttd/{app}" == problem["scope"]
    assert f'scope="altinn:events/ttd/{app}"' in response.headers["www-authenticate"]


@pytest.mark.parametrize("scope", ["altinn:events/ttd", "openid altinn:events/ttd/{app} other"])
def test_app_scope_and_an_org_scope_permit_reading(service: RunningService, app: str, scope: str) -> None:
    """The scope of the app and the scope of its org are enough for any organisation."""
    token = service.token(scope.format(app=app), organisation=SKD)

    assert 200 == service.client.get(f"/events/api/v1/app/ttd/{app}?after=0", headers=bearer(token)).status_code


def test_head_returns_the_end_of_the_log_to_any_caller(service: RunningService, cases: list[dict[str, str]]) -> None:
    """Every authenticated caller gets the newest cursor and its time. Without a token, 401."""
    response = service.client.get("/events/api/v1/head", headers=bearer(service.token("")))
    assert_problem(service.client.get("/events/api/v1/head"), 401, "unauthenticated")

    assert int(response.json()["cursor"].split(".")[1]) >= int(cases[-1]["sequence"])
    assert response.json()["time"] >= cases[-1]["time"]


def test_expired_cursor_is_rejected_with_the_oldest_cursor(tmp_path: Path) -> None:
    """410 has the oldest cursor to resume from. Sequences continue after events have expired."""
    app = "short"
    with running_service(tmp_path) as service:
        first, _ = post_events(service, APP_PATH, [cloud_event(app) for _ in range(2)]).raise_for_status().json()
        cursor = read_app_feed(service, app, "after=0&size=1").headers["feed-cursor"]
    age_log(tmp_path / ".eventfeed" / "log.db", days=2)
    with running_service(tmp_path, EVENTFEED_RETENTION_DAYS="1") as service:
        newest = post_events(service, APP_PATH, cloud_event(app)).raise_for_status().json()
        problem = assert_problem(read_app_feed(service, app, f"after={cursor}"), 410, "cursor-expired")

        assert [newest["id"]] == event_ids(read_app_feed(service, app, f"after={problem['oldestCursor']}"))
        assert [newest["id"]] == event_ids(read_app_feed(service, app, "after=0"))
        since_2020 = read_app_feed(service, app, "from=2020-01-01T00:00:00Z")
        waited = read_app_feed(service, app, "from=2020-01-01T00:00:00Z&eventType=none", Prefer="wait=1")
        since_newest = read_app_feed(service, app, f"from={newest['time']}")
        with service.client.stream(
            "GET",
            f"/events/api/v1/app/ttd/{app}?from=2020-01-01T00:00:00Z",
            headers={**bearer(service.token("altinn:events/ttd")), "Accept": "text/event-stream"},
        ) as stream:
            starts = [each.headers.get("feed-start") for each in (since_2020, waited, since_newest, stream)]
        command = service.run_command("read", "app", f"ttd/{app}", "--from", "2020-01-01T00:00:00Z")

        assert [newest["id"]] == event_ids(since_2020) == event_ids(since_newest)
        assert [newest["time"], newest["time"], None, newest["time"]] == starts
        assert (0, 1) == (command.returncode, command.stdout.count(b"\n"))
        assert [f"The log has no events from before {newest['time']}."] == re.findall(
            r"The log has .*?Z\.", command.stderr.decode()
        )
        assert (newest["time"], int(first["sequence"]) + 2) == (problem["oldestTime"], int(newest["sequence"]))


def age_log(file: Path, *, days: int) -> None:
    """Move the registration times of all entries into the past."""
    with closing(apsw.Connection(str(file))) as db, db:
        for table in ("entry", "log"):
            db.execute(f"UPDATE {table} SET time = time - ?", (days * 86_400_000_000,))  # noqa: S608  # constants


@pytest.mark.parametrize("path", ["tt_d/a", "ttd/a%20b", "ttd/%22,%20x=%22", "ttd/%C3%A6", "ttd/a%0Ab", "t%2Ftd/a"])
def test_invalid_app_name_is_not_found(service: RunningService, path: str) -> None:
    """A name that no app can have gets 404, and appears in no header."""
    response = service.client.get(
        f"/events/api/v1/app/{path}?after=0", headers=bearer(service.token("altinn:events/ttd"))
    )

    assert_problem(response, 404, "not-found")


def test_event_of_an_app_with_a_similar_name_is_not_visible(service: RunningService, app: str) -> None:
    """Org and app are two fields: `ttd` and `a_b` differ from `ttd_a` and `b`."""
    other = f"{app}_{uuid.uuid4().hex[:4]}"
    service.client.post(
        APP_PATH, json=cloud_event(other), headers=bearer(service.token(PUBLISH_SCOPE))
    ).raise_for_status()

    assert [] == event_ids(read_app_feed(service, app, "after=0"))
    assert 1 == len(event_ids(read_app_feed(service, other, "after=0")))


def test_page_is_compressed_if_the_client_accepts_it(tmp_path: Path) -> None:
    """A compressed page has an ETag of its own; either ETag gets 304 (RFC 9110 §8.8.3.3)."""
    with running_service(tmp_path) as service:
        post_events(service, APP_PATH, [app_event("bolig") for _ in range(50)]).raise_for_status()
        headers = bearer(service.token("altinn:events/ttd"))
        path = "/events/api/v1/app/ttd/bolig?after=0"
        pages = [
            service.client.get(path, headers={**headers, "Accept-Encoding": each}) for each in ("identity", "gzip")
        ]
        plain, gzip_page = pages
        tags = [each.headers["etag"] for each in pages]
        statuses = [service.client.get(path, headers={**headers, "If-None-Match": tag}).status_code for tag in tags]
        empty = service.client.get(
            f"{path[:-1]}{plain.headers['feed-cursor']}", headers={**headers, "Accept-Encoding": "gzip"}
        )

    assert plain.json() == gzip_page.json()
    assert [None, "gzip"] == [each.headers.get("content-encoding") for each in pages]
    assert int(gzip_page.headers["content-length"]) < int(plain.headers["content-length"]) / 3
    assert 2 == len(set(tags))
    assert [304, 304] == statuses
    assert "content-encoding" not in empty.headers
    assert "Accept-Encoding" in plain.headers["vary"]
