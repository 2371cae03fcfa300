"""The service on Cosmos DB."""

import asyncio
import random
import time
import uuid
from pathlib import Path

import pytest

from eventfeed.app.store import EMULATOR_KEY
from eventfeed.log.clock import MachineClock
from eventfeed.log.cosmos.containers import containers
from eventfeed.log.cosmos.database import Database
from eventfeed.telemetry.telemetry import Telemetry
from tests.emulator.running import KEEP_SECONDS
from tests.support.feeds import event_ids
from tests.support.publishing import APP_PATH, party_event, post_events
from tests.support.service import (
    KARI,
    KARIS_PARTY,
    bearer,
    free_port,
    run_with_store,
    running_service,
)


@pytest.fixture(scope="module")
def account(account: str) -> str:
    """The host of an emulator, which each test here needs."""
    if not account:
        pytest.skip("there is no emulator: `make test` installs it")
    return account


@pytest.fixture
def store(account: str) -> str:
    """The address of a database that does not exist yet."""
    return f"cosmos://{account}/{uuid.uuid4().hex}"


def test_scenarios_pass_on_a_new_cosmos_db_store(store: str, tmp_path: Path) -> None:
    """`store create` can be repeated, and the commands `scenarios` and `audit` succeed."""
    audit_without_store = run_with_store(tmp_path, "audit", store=store)
    codes = [run_with_store(tmp_path, "store", "create", store=store).returncode for _ in range(2)]
    with running_service(tmp_path, "--sample", EVENTFEED_STORE=store, EVENTFEED_WORKERS="2") as service:
        scenarios = service.run_command("scenarios", EVENTFEED_STORE=store)
        audit = service.run_command("audit", EVENTFEED_STORE=store)

    assert (1, True) == (audit_without_store.returncode, b"eventfeed store create" in audit_without_store.stderr)
    assert [0, 0] == codes
    assert 0 == scenarios.returncode, scenarios.stderr
    assert 5 == scenarios.stdout.count(b"passed")
    assert b"estate.created" in audit.stdout


def test_events_with_a_receipt_survive_a_restart_on_cosmos_db(store: str, tmp_path: Path, app: str) -> None:
    """A new process continues the log and recognises repeats."""
    run_with_store(tmp_path, "store", "create", store=store)
    event = party_event(app, KARIS_PARTY)
    receipts, ids = list[dict[str, object]](), list[str]()
    for _ in range(2):
        with running_service(tmp_path, EVENTFEED_STORE=store) as service:
            receipts.append(post_events(service, APP_PATH, event).raise_for_status().json())
            token = bearer(service.person_token(KARI))
            body = {"after": "0", "source": f"https://ttd.apps.example.no/ttd/{app}/"}
            ids = event_ids(service.client.post("/events/api/v1/party", json=body, headers=token))

    assert [event["id"]] == ids
    assert [False, True] == [receipt["duplicate"] for receipt in receipts]
    assert 1 == len({receipt["sequence"] for receipt in receipts})


def test_service_creates_its_log_in_existing_containers(account: str, tmp_path: Path, app: str) -> None:
    """A deployment may create the containers; its first service creates the log in them."""
    name = uuid.uuid4().hex

    async def create_containers() -> None:
        database = Database(
            f"http://{account}/",
            name,
            key=EMULATOR_KEY,
            random=random.random,
            clock=MachineClock(time.time_ns),
            telemetry=Telemetry(),
        )
        await database.open()
        await database.create(containers(keep_seconds=KEEP_SECONDS))
        await database.close()

    asyncio.run(create_containers())
    with running_service(tmp_path, EVENTFEED_STORE=f"cosmos://{account}/{name}", EVENTFEED_WORKERS="2") as service:
        receipt = post_events(service, APP_PATH, party_event(app, KARIS_PARTY)).raise_for_status().json()
        token = bearer(service.token("altinn:events/ttd"))
        page = service.client.get(f"/events/api/v1/app/ttd/{app}?after=0", headers=token).raise_for_status()

    assert [receipt["id"]] == event_ids(page)


def test_retention_beyond_the_time_to_live_of_containers_is_refused(store: str, tmp_path: Path) -> None:
    """The error has both times, and the service does not start."""
    creation = run_with_store(tmp_path, "store", "create", store=store)
    longer = {"EVENTFEED_RETENTION_DAYS": "1000"}
    commands = [
        run_with_store(tmp_path, *command, store=store, **longer)
        for command in (("store", "create"), ("store", "new-log"), ("serve", "--port", str(free_port())))
    ]

    assert (0, [1, 1, 1]) == (creation.returncode, [each.returncode for each in commands])
    for each in commands:
        assert b"deletes documents after 7783200 s but must keep them for 86407200 s" in each.stderr, each.stderr
        assert b"Traceback" not in each.stderr


def test_unreachable_cosmos_db_is_reported_without_traceback(tmp_path: Path) -> None:
    """No server listens at the address of the store."""
    command = run_with_store(tmp_path, "store", "create", store=f"cosmos://127.0.0.1:{free_port()}/x")

    assert 1 == command.returncode
    assert b"Traceback" not in command.stderr
    assert b"store" in command.stderr
