"""Hearing of changes for everyone: scope, approval, and a record of every page (contract S4)."""

import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.test_party_feed import about, ids
from tests.end_to_end.test_publishing import APP, post, refused
from tests.support.service import BANK, KARI, KARIS_PARTY, OTHER_BANK, Served, bearer, serving

REPORTEES = "/events/api/v1/reportees"
SCOPE, ADMIN = "altinn:events/reportees", "altinn:events.admin"
APPROVALS = "/events/api/v1/approvals"


@pytest.fixture(scope="module")
def banked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service whose approvals no other test changes."""
    with serving(tmp_path_factory.mktemp("banked")) as served:
        yield served


def hear(served: Served, *types: str, who: str = BANK, scope: str = SCOPE, query: str = "after=0") -> httpx.Response:
    """A page of everybody's events of these types."""
    params = "".join(f"&eventType={each}" for each in types)
    token = served.token(scope, organisation=who)
    return served.client.get(f"{REPORTEES}?{query}{params}", headers=bearer(token))


def decide(served: Served, number: str, *types: str, valid_to: str = "2099-01-01T00:00:00Z") -> httpx.Response:
    """Approve an organisation."""
    body = {"types": types, "validTo": valid_to, "reason": "a test"}
    return served.client.put(f"{APPROVALS}/{number}", json=body, headers=bearer(served.token(ADMIN)))


def audited(served: Served, *arguments: str) -> list[dict[str, object]]:
    """The audit log as the command prints it."""
    printed = served.command("audit", *arguments).stdout
    return [json.loads(line) for line in printed.splitlines()]


def an_organisation() -> str:
    """A number that no other test uses."""
    return str(400000000 + uuid.uuid4().int % 99_999_999)


def test_an_approved_organisation_hears_of_everyone(banked: Served, app: str) -> None:
    """Events of the approved type for every party, and of no other type."""
    events = [about(app, party, type=type_) for party in (KARIS_PARTY, "123") for type_ in ("estate.created", "other")]
    post(banked, APP, events).raise_for_status()
    heard = hear(banked, "estate.created", query=f"after=0&source=https://ttd.apps.example.no/ttd/{app}/")
    of_one = hear(banked, "estate.created", query=f"after=0&party=123&source=https://ttd.apps.example.no/ttd/{app}/")

    assert [events[0]["id"], events[2]["id"]] == ids(heard)
    assert [events[2]["id"]] == ids(of_one)


def test_every_page_with_events_is_on_record(banked: Served, app: str) -> None:
    """Who, for what, which range, when; a page without events, or one that was not sent again, is not."""
    number, type_ = an_organisation(), f"audited.{app}"
    decide(banked, number, type_).raise_for_status()
    empty = hear(banked, type_, who=number)
    receipts = post(banked, APP, [about(app, KARIS_PARTY, type=type_) for _ in range(3)]).json()
    page = hear(banked, type_, who=number)
    token = bearer(banked.token(SCOPE, organisation=number))
    again = banked.client.get(str(page.request.url), headers={**token, "If-None-Match": page.headers["etag"]})
    (entry,) = audited(banked, "--org-number", number)

    assert ([], 304) == (empty.json(), again.status_code)
    assert (number, "read", [type_], 3) == (entry["organisation"], entry["action"], entry["types"], entry["events"])
    assert [int(receipts[0]["sequence"]), int(receipts[2]["sequence"])] == [entry["first"], entry["last"]]
    assert page.headers["feed-cursor"].startswith(f"{entry['log']}.")


def test_a_condition_does_not_read_unrecorded(banked: Served, app: str) -> None:
    """`*` is no tag of a page; whoever has none gets the page, and it goes on record."""
    post(banked, APP, about(app, KARIS_PARTY, type="estate.created")).raise_for_status()
    before = len(audited(banked))
    token = bearer(banked.token(SCOPE, organisation=BANK))
    url = f"{REPORTEES}?after=0&eventType=estate.created&size=1"

    assert 200 == banked.client.get(url, headers={**token, "If-None-Match": "*"}).status_code
    assert before + 1 == len(audited(banked))


def test_no_record_no_page(tmp_path: Path, app: str) -> None:
    """A page that cannot be put on record is not sent: 503, and the cursor stays where it was."""
    with serving(tmp_path) as served:
        post(served, APP, about(app, KARIS_PARTY, type="estate.created")).raise_for_status()
        with sqlite3.connect(tmp_path / ".eventfeed" / "log.access.db") as db:
            db.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'disk full'); END")
        refusal = hear(served, "estate.created")
        with sqlite3.connect(tmp_path / ".eventfeed" / "log.access.db") as db:
            db.execute("DROP TRIGGER full")
        db.close()

        refused(refusal, 503, "unavailable")
        assert 1 == len(ids(hear(served, "estate.created")))


@pytest.mark.parametrize("statement", ["UPDATE audit SET time = 0", "DELETE FROM audit"])
def test_the_record_is_only_added_to(banked: Served, statement: str) -> None:
    """Not even by whoever has the file."""
    decide(banked, an_organisation(), "x").raise_for_status()
    db = sqlite3.connect(banked.folder / ".eventfeed" / "log.access.db")
    with closing(db), pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute(statement)


def test_an_organisation_without_approval_is_refused(banked: Served) -> None:
    """With the scope, but not approved."""
    answer = hear(banked, "estate.created", who=OTHER_BANK)
    refused(answer, 403, "not-approved")

    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert "scope=" not in answer.headers["www-authenticate"]


def test_every_type_must_be_covered(banked: Served) -> None:
    """One that is not makes all of it refused, and is named."""
    problem = refused(hear(banked, "estate.created", "bankruptcy.opened"), 403, "not-approved")

    assert [{"parameter": "eventType", "detail": "bankruptcy.opened is not covered by the approval"}] == problem[
        "errors"
    ]


def test_an_expired_approval_is_none(banked: Served) -> None:
    """From the second it says on."""
    number = an_organisation()
    decide(banked, number, "estate.created", valid_to="2020-01-01T00:00:00Z").raise_for_status()

    refused(hear(banked, "estate.created", who=number), 403, "not-approved")


def test_the_token_decides_whose_approval_counts(banked: Served) -> None:
    """An organisation number in a header or the query is not believed."""
    token = bearer(banked.token(SCOPE, organisation=OTHER_BANK))
    headers = {**token, "orgNumber": BANK}
    refused(banked.client.get(f"{REPORTEES}?after=0&eventType=estate.created", headers=headers), 403, "not-approved")
    query = f"{REPORTEES}?after=0&eventType=estate.created&unit={BANK}"
    refused(banked.client.get(query, headers=token), 403, "not-approved")


@pytest.mark.parametrize("scope", ["altinn:events", "altinn:events/reportee", "altinn:events/reportees2", "", "x y"])
def test_the_scope_is_needed_whole(banked: Served, scope: str) -> None:
    """An approval alone is not enough."""
    problem = refused(hear(banked, "estate.created", scope=scope), 403, "insufficient-scope")

    assert SCOPE == problem["scope"]


def test_people_hear_of_themselves_alone(banked: Served) -> None:
    """A person's token opens no feed that goes by scope, whatever scope it claims."""
    form = {"person": KARI, "scope": f"{SCOPE} {ADMIN}"}
    external = banked.client.post("/development/id-porten/token", data=form).text
    token = bearer(banked.exchanged(external, provider="id-porten").text)
    answer = banked.client.get(f"{REPORTEES}?after=0&eventType=estate.created", headers=token)

    refused(answer, 403, "insufficient-scope")
    refused(banked.client.get(f"{APPROVALS}/{BANK}", headers=token), 403, "insufficient-scope")


def test_types_are_required(banked: Served) -> None:
    """There is no feed of everything of everyone."""
    problem = refused(hear(banked), 400, "invalid-request")

    assert [{"parameter": "eventType", "detail": "is required"}] == problem["errors"]


def test_an_approval_is_given_changed_and_withdrawn(banked: Served) -> None:
    """What is put is what is got; each decision is on record before it counts."""
    number, admin = an_organisation(), bearer(banked.token(ADMIN))
    before = banked.client.get(f"{APPROVALS}/{number}", headers=admin)
    decide(banked, number, "b", "a", "b").raise_for_status()
    decide(banked, number, "c").raise_for_status()
    got = banked.client.get(f"{APPROVALS}/{number}", headers=admin).json()
    gone = banked.client.delete(f"{APPROVALS}/{number}", headers=admin)
    after = banked.client.delete(f"{APPROVALS}/{number}", headers=admin)
    entries = [entry for entry in audited(banked) if entry.get("approved") == number]

    assert (404, 204, 404) == (before.status_code, gone.status_code, after.status_code)
    assert {
        "orgNumber": number,
        "types": ["c"],
        "validTo": "2099-01-01T00:00:00.000000Z",
        "reason": "a test",
    } == got
    assert [("approve", ["a", "b"]), ("approve", ["c"]), ("withdraw", None)] == [
        (entry["action"], entry.get("types")) for entry in entries
    ]
    refused(hear(banked, "c", who=number), 403, "not-approved")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b"", [""]),
        (b"[]", [""]),
        (b"{}", ["/reason", "/types", "/validTo"]),
        (b'{"types": [], "validTo": "2099-01-01", "reason": " "}', ["/reason", "/types", "/validTo"]),
        (b'{"types": "x", "validTo": 7, "reason": 7, "extra": 1}', ["/extra", "/reason", "/types", "/validTo"]),
        (b'{"types": ["eventfeed.marker"], "validTo": "2099-01-01T00:00:00Z", "reason": "x"}', ["/types"]),
        (b'{"types": ["x"], "validTo": "0001-01-01T00:00:00+14:00", "reason": "x"}', ["/validTo"]),
        (b'{"types": ["x"], "valid-to": "2099-01-01T00:00:00Z", "reason": "x", "orgNumber": "1"}', ["/orgNumber"]),
    ],
)
def test_an_approval_that_is_wrong_changes_nothing(banked: Served, body: bytes, pointers: list[str]) -> None:
    """Every fault at once, by pointer."""
    headers = {**bearer(banked.token(ADMIN)), "Content-Type": "application/json"}
    answer = banked.client.put(f"{APPROVALS}/{OTHER_BANK}", content=body, headers=headers)
    errors = refused(answer, 400, "invalid-request")["errors"]
    assert isinstance(errors, list)

    assert pointers == sorted(error["pointer"] for error in errors)
    assert 404 == banked.client.get(f"{APPROVALS}/{OTHER_BANK}", headers=headers).status_code


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_an_admin_decides(banked: Served, method: str) -> None:
    """With the scope of that name; and organisation numbers have nine digits."""
    path = f"{APPROVALS}/{BANK}"
    answer = banked.client.request(method, path, headers=bearer(banked.token(SCOPE)))
    assert ADMIN == refused(answer, 403, "insufficient-scope")["scope"]
    refused(banked.client.request(method, path), 401, "unauthenticated")
    bad = banked.client.request(method, f"{APPROVALS}/12345", headers=bearer(banked.token(ADMIN)))
    refused(bad, 400, "invalid-request")


def test_a_withdrawn_first_approval_stays_withdrawn(tmp_path: Path) -> None:
    """A restart does not bring back what the development population begins with."""
    with serving(tmp_path) as served:
        first = hear(served, "estate.created")
        gone = served.client.delete(f"{APPROVALS}/{BANK}", headers=bearer(served.token(ADMIN)))
    with serving(tmp_path) as served:
        after = hear(served, "estate.created")

    assert (200, 204) == (first.status_code, gone.status_code)
    refused(after, 403, "not-approved")


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_the_audit_log_is_asked_for_a_range(banked: Served, option: str) -> None:
    """Before or after a moment; what is no moment is told."""
    decide(banked, an_organisation(), "x").raise_for_status()
    every = audited(banked)
    ended = banked.command("audit", option, "yesterday")

    assert (len(every), 0) == tuple(
        sorted(
            (
                len(audited(banked, option, "2099-01-01T00:00:00Z")),
                len(audited(banked, option, "2001-01-01T00:00:00Z")),
            ),
            reverse=True,
        )
    )
    assert (2, True) == (ended.returncode, option.encode() in ended.stderr)
