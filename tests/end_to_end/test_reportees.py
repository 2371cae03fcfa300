"""The reportees feed: scope, approval, and an audit entry for every page (contract S4)."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import httpx
import pytest

from tests.support.feeds import ADMIN_SCOPE, APPROVALS_PATH, assert_problem, audit_entries, event_ids
from tests.support.publishing import APP_PATH, party_event, post_events
from tests.support.service import BANK, KARI, KARIS_PARTY, OTHER_BANK, RunningService, bearer, running_service

REPORTEES = "/events/api/v1/reportees"
SCOPE = "altinn:events/reportees"


@pytest.fixture(scope="module")
def bank_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service whose approvals no other module changes."""
    with running_service(tmp_path_factory.mktemp("bank")) as service:
        yield service


def read_reportees(
    service: RunningService, *types: str, organisation: str = BANK, scope: str = SCOPE, query: str = "after=0"
) -> httpx.Response:
    """Request a page of every party's events of these types."""
    params = "".join(f"&eventType={each}" for each in types)
    token = service.token(scope, organisation=organisation)
    return service.client.get(f"{REPORTEES}?{query}{params}", headers=bearer(token))


def approve(
    service: RunningService, number: str, *types: str, valid_to: str = "2099-01-01T00:00:00Z"
) -> httpx.Response:
    """Approve an organisation."""
    body = {"types": types, "validTo": valid_to, "reason": "a test"}
    return service.client.put(f"{APPROVALS_PATH}/{number}", json=body, headers=bearer(service.token(ADMIN_SCOPE)))


def unused_organisation() -> str:
    """An organisation number that no other test uses."""
    return str(400000000 + uuid.uuid4().int % 99_999_999)


def test_approved_organisation_reads_events_of_every_party(bank_service: RunningService, app: str) -> None:
    """The page has the events of the approved type, and no other type."""
    events = [
        party_event(app, party, type=type_) for party in (KARIS_PARTY, "123") for type_ in ("estate.created", "other")
    ]
    post_events(bank_service, APP_PATH, events).raise_for_status()
    page = read_reportees(
        bank_service, "estate.created", query=f"after=0&source=https://ttd.apps.example.no/ttd/{app}/"
    )
    party_page = read_reportees(
        bank_service, "estate.created", query=f"after=0&party=123&source=https://ttd.apps.example.no/ttd/{app}/"
    )

    assert [events[0]["id"], events[2]["id"]] == event_ids(page)
    assert [events[2]["id"]] == event_ids(party_page)


def test_every_page_with_events_has_an_audit_entry(bank_service: RunningService, app: str) -> None:
    """The entry has organisation, types, range and count. An empty page and a 304 have none."""
    number, type_ = unused_organisation(), f"audited.{app}"
    approve(bank_service, number, type_).raise_for_status()
    empty = read_reportees(bank_service, type_, organisation=number)
    receipts = post_events(bank_service, APP_PATH, [party_event(app, KARIS_PARTY, type=type_) for _ in range(3)]).json()
    page = read_reportees(bank_service, type_, organisation=number)
    token = bearer(bank_service.token(SCOPE, organisation=number))
    unchanged_page = bank_service.client.get(
        str(page.request.url), headers={**token, "If-None-Match": page.headers["etag"]}
    )
    (entry,) = audit_entries(bank_service, "--org-number", number)

    assert ([], 304) == (empty.json(), unchanged_page.status_code)
    assert (number, "read", [type_], 3) == (entry["organisation"], entry["action"], entry["types"], entry["events"])
    assert [int(receipts[0]["sequence"]), int(receipts[2]["sequence"])] == [entry["first"], entry["last"]]
    assert page.headers["feed-cursor"].startswith(f"{entry['log']}.")


def test_page_for_a_wildcard_condition_has_an_audit_entry(bank_service: RunningService, app: str) -> None:
    """`If-None-Match: *` never matches, so the page is sent and recorded."""
    post_events(bank_service, APP_PATH, party_event(app, KARIS_PARTY, type="estate.created")).raise_for_status()
    count = len(audit_entries(bank_service))
    token = bearer(bank_service.token(SCOPE, organisation=BANK))
    url = f"{REPORTEES}?after=0&eventType=estate.created&size=1"

    assert 200 == bank_service.client.get(url, headers={**token, "If-None-Match": "*"}).status_code
    assert count + 1 == len(audit_entries(bank_service))


def test_page_without_audit_entry_is_not_sent(tmp_path: Path, app: str) -> None:
    """If the entry cannot be stored, the response is 503, and a repeat gets the same page."""
    with running_service(tmp_path) as service:
        post_events(service, APP_PATH, party_event(app, KARIS_PARTY, type="estate.created")).raise_for_status()
        with closing(apsw.Connection(str(tmp_path / ".eventfeed" / "log.access.db"))) as db:
            db.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'disk full'); END")
        response = read_reportees(service, "estate.created")
        with closing(apsw.Connection(str(tmp_path / ".eventfeed" / "log.access.db"))) as db:
            db.execute("DROP TRIGGER full")

        assert_problem(response, 503, "unavailable")
        assert 1 == len(event_ids(read_reportees(service, "estate.created")))


@pytest.mark.parametrize("statement", ["UPDATE audit SET time = 0", "DELETE FROM audit"])
def test_audit_entries_cannot_be_changed_or_deleted(bank_service: RunningService, statement: str) -> None:
    """The database itself refuses both statements."""
    approve(bank_service, unused_organisation(), "x").raise_for_status()
    db = apsw.Connection(str(bank_service.folder / ".eventfeed" / "log.access.db"))
    with closing(db), pytest.raises(apsw.ConstraintError, match="append-only"):
        db.execute(statement)


def test_organisation_without_approval_is_rejected_with_403(bank_service: RunningService) -> None:
    """The scope alone is not enough."""
    response = read_reportees(bank_service, "estate.created", organisation=OTHER_BANK)
    assert_problem(response, 403, "not-approved")

    assert 'error="insufficient_scope"' in response.headers["www-authenticate"]
    assert "scope=" not in response.headers["www-authenticate"]


def test_type_without_approval_is_rejected_by_name(bank_service: RunningService) -> None:
    """One type without approval is enough to reject the request, and the problem names it."""
    problem = assert_problem(read_reportees(bank_service, "estate.created", "bankruptcy.opened"), 403, "not-approved")

    assert [{"parameter": "eventType", "detail": "bankruptcy.opened is not covered by the approval"}] == problem[
        "errors"
    ]


def test_expired_approval_is_rejected_with_403(bank_service: RunningService) -> None:
    """An approval is valid until `validTo`, exclusive."""
    number = unused_organisation()
    approve(bank_service, number, "estate.created", valid_to="2020-01-01T00:00:00Z").raise_for_status()

    assert_problem(read_reportees(bank_service, "estate.created", organisation=number), 403, "not-approved")


def test_organisation_of_the_token_determines_the_approval(bank_service: RunningService) -> None:
    """An organisation number in a header or the query has no effect."""
    token = bearer(bank_service.token(SCOPE, organisation=OTHER_BANK))
    headers = {**token, "orgNumber": BANK}
    assert_problem(
        bank_service.client.get(f"{REPORTEES}?after=0&eventType=estate.created", headers=headers), 403, "not-approved"
    )
    query = f"{REPORTEES}?after=0&eventType=estate.created&unit={BANK}"
    assert_problem(bank_service.client.get(query, headers=token), 403, "not-approved")


@pytest.mark.parametrize("scope", ["altinn:events", "altinn:events/reportee", "altinn:events/reportees2", "", "x y"])
def test_approval_without_the_full_scope_is_rejected(bank_service: RunningService, scope: str) -> None:
    """A shorter or longer scope gets 403."""
    problem = assert_problem(read_reportees(bank_service, "estate.created", scope=scope), 403, "insufficient-scope")

    assert SCOPE == problem["scope"]


def test_person_cannot_read_the_reportees_feed(bank_service: RunningService) -> None:
    """A person's token gives no access to this feed, for any scope."""
    form = {"person": KARI, "scope": f"{SCOPE} {ADMIN_SCOPE}"}
    external = bank_service.client.post("/development/id-porten/token", data=form).text
    token = bearer(bank_service.exchange(external, provider="id-porten").text)
    response = bank_service.client.get(f"{REPORTEES}?after=0&eventType=estate.created", headers=token)

    assert_problem(response, 403, "insufficient-scope")
    assert_problem(bank_service.client.get(f"{APPROVALS_PATH}/{BANK}", headers=token), 403, "insufficient-scope")


def test_request_without_event_types_is_rejected(bank_service: RunningService) -> None:
    """The parameter `eventType` is required."""
    problem = assert_problem(read_reportees(bank_service), 400, "invalid-request")

    assert [{"parameter": "eventType", "detail": "is required"}] == problem["errors"]


def test_approval_can_be_created_replaced_and_withdrawn(bank_service: RunningService) -> None:
    """GET returns what PUT stored, and every decision has an audit entry."""
    number, admin = unused_organisation(), bearer(bank_service.token(ADMIN_SCOPE))
    before = bank_service.client.get(f"{APPROVALS_PATH}/{number}", headers=admin)
    approve(bank_service, number, "b", "a", "b").raise_for_status()
    approve(bank_service, number, "c").raise_for_status()
    stored_approval = bank_service.client.get(f"{APPROVALS_PATH}/{number}", headers=admin).json()
    withdrawal = bank_service.client.delete(f"{APPROVALS_PATH}/{number}", headers=admin)
    repeat = bank_service.client.delete(f"{APPROVALS_PATH}/{number}", headers=admin)
    entries = [entry for entry in audit_entries(bank_service) if entry.get("approved") == number]

    assert (404, 204, 404) == (before.status_code, withdrawal.status_code, repeat.status_code)
    assert {
        "orgNumber": number,
        "types": ["c"],
        "validTo": "2099-01-01T00:00:00.000000Z",
        "reason": "a test",
    } == stored_approval
    assert [("approve", ["a", "b"]), ("approve", ["c"]), ("withdraw", None)] == [
        (entry["action"], entry.get("types")) for entry in entries
    ]
    assert_problem(read_reportees(bank_service, "c", organisation=number), 403, "not-approved")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b"", [""]),
        (b"[]", [""]),
        (b"{}", ["/reason", "/types", "/validTo"]),
        (b'{"types": [], "validTo": "2099-01-01", "reason": " "}', ["/reason", "/types", "/validTo"]),
        (b'{"types": "x", "validTo": 7, "reason": 7, "extra": 1}', ["/extra", "/reason", "/types", "/validTo"]),
        (b'{"types": ["a", "x*"], "validTo": "2099-01-01T00:00:00Z", "reason": "x"}', ["/types"]),
        (b'{"types": ["x"], "types": ["y"], "validTo": "2099-01-01T00:00:00Z", "reason": "x"}', ["/types"]),
        (b'{"types": ["x"], "validTo": "2099-01-01T00:00:00Z", "reason": "\\ud800"}', [""]),
        (b'{"types": ["eventfeed.marker"], "validTo": "2099-01-01T00:00:00Z", "reason": "x"}', ["/types"]),
        (b'{"types": ["x"], "validTo": "0001-01-01T00:00:00+14:00", "reason": "x"}', ["/validTo"]),
        (
            b'{"types": ["x"], "validTo": "2099-01-01T00:00:00Z", "valid-to": "2098-01-01T00:00:00Z", "reason": "x"}',
            ["/valid-to"],
        ),
        (b'{"types": ["x"], "valid-to": "2099-01-01T00:00:00Z", "reason": "x", "orgNumber": "1"}', ["/orgNumber"]),
    ],
)
def test_invalid_approval_changes_nothing(bank_service: RunningService, body: bytes, pointers: list[str]) -> None:
    """The problem has a pointer for each error."""
    headers = {**bearer(bank_service.token(ADMIN_SCOPE)), "Content-Type": "application/json"}
    response = bank_service.client.put(f"{APPROVALS_PATH}/{OTHER_BANK}", content=body, headers=headers)
    errors = assert_problem(response, 400, "invalid-request")["errors"]
    assert isinstance(errors, list)

    assert pointers == sorted(error["pointer"] for error in errors)
    assert 404 == bank_service.client.get(f"{APPROVALS_PATH}/{OTHER_BANK}", headers=headers).status_code


def test_approval_of_a_type_covers_its_name_with_app_in_front(bank_service: RunningService) -> None:
    """And nothing else: neither the type without it, nor a wildcard."""
    organisation = unused_organisation()
    approve(bank_service, organisation, "x").raise_for_status()
    statuses = {
        type_: read_reportees(bank_service, type_, organisation=organisation).status_code
        for type_ in ("x", "app.x", "app.app.x", "xy", "X", "x*", "%25")
    }
    approve(bank_service, organisation, "app.y").raise_for_status()

    assert {"x": 200, "app.x": 200, "app.app.x": 403, "xy": 403, "X": 403, "x*": 400, "%25": 400} == statuses
    assert 403 == read_reportees(bank_service, "y", organisation=organisation).status_code


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_approvals_require_the_admin_scope(bank_service: RunningService, method: str) -> None:
    """Other scopes get 403, no token 401, and an organisation number without nine digits 400."""
    path = f"{APPROVALS_PATH}/{BANK}"
    response = bank_service.client.request(method, path, headers=bearer(bank_service.token(SCOPE)))
    assert ADMIN_SCOPE == assert_problem(response, 403, "insufficient-scope")["scope"]
    assert_problem(bank_service.client.request(method, path), 401, "unauthenticated")
    response = bank_service.client.request(
        method, f"{APPROVALS_PATH}/12345", headers=bearer(bank_service.token(ADMIN_SCOPE))
    )
    assert_problem(response, 400, "invalid-request")


def test_withdrawn_initial_approval_stays_withdrawn(tmp_path: Path) -> None:
    """A restart does not restore the approval of the development population."""
    with running_service(tmp_path) as service:
        first = read_reportees(service, "estate.created")
        withdrawal = service.client.delete(f"{APPROVALS_PATH}/{BANK}", headers=bearer(service.token(ADMIN_SCOPE)))
    with running_service(tmp_path) as service:
        after = read_reportees(service, "estate.created")

    assert (200, 204) == (first.status_code, withdrawal.status_code)
    assert_problem(after, 403, "not-approved")


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_audit_command_selects_a_time_range(bank_service: RunningService, option: str) -> None:
    """`--from` and `--to` select by time, and an invalid time is an error."""
    approve(bank_service, unused_organisation(), "x").raise_for_status()
    entries = audit_entries(bank_service)
    command = bank_service.run_command("audit", option, "yesterday")

    assert (len(entries), 0) == tuple(
        sorted(
            (
                len(audit_entries(bank_service, option, "2099-01-01T00:00:00Z")),
                len(audit_entries(bank_service, option, "2001-01-01T00:00:00Z")),
            ),
            reverse=True,
        )
    )
    assert (2, True) == (command.returncode, option.encode() in command.stderr)
