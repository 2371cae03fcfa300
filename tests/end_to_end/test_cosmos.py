"""The service on Cosmos DB: what it does on a file it does there."""

import asyncio
import random
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventfeed.app.application import EMULATOR_KEY, now
from eventfeed.log.cosmos.containers import containers
from eventfeed.log.cosmos.database import Database
from tests.emulator.running import KEEP_SECONDS, emulator
from tests.end_to_end.test_party_feed import about, ids
from tests.end_to_end.test_publishing import APP, post
from tests.support.service import COMMAND, KARI, KARIS_PARTY, bearer, clean_environment, free_port, serving


@pytest.fixture(scope="module")
def account() -> Iterator[str]:
    """The host of an emulator."""
    with emulator() as url:
        if not url:
            pytest.skip("there is no emulator: `make test` installs it")
        yield url.removeprefix("http://").rstrip("/")


@pytest.fixture
def stored(account: str) -> str:
    """A database that nobody has made."""
    return f"cosmos://{account}/{uuid.uuid4().hex}"


def run(folder: Path, *arguments: str, store: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command of the command line on this store."""
    environment = clean_environment(EVENTFEED_STORE=store, **settings)
    return subprocess.run([COMMAND, *arguments], env=environment, cwd=folder, capture_output=True, check=False)


def test_the_scenarios_pass_on_cosmos_db(stored: str, tmp_path: Path) -> None:
    """Made by command, filled with sample events, walked, and on record; made again it is as it was."""
    nothing = run(tmp_path, "audit", store=stored)
    made = [run(tmp_path, "store", "create", store=stored).returncode for _ in range(2)]
    with serving(tmp_path, "--sample", EVENTFEED_STORE=stored, EVENTFEED_WORKERS="2") as served:
        walked = served.command("scenarios", EVENTFEED_STORE=stored)
        record = served.command("audit", EVENTFEED_STORE=stored)

    assert (1, True) == (nothing.returncode, b"eventfeed store create" in nothing.stderr)
    assert [0, 0] == made
    assert 0 == walked.returncode, walked.stderr
    assert 5 == walked.stdout.count(b"passed")
    assert b"estate.created" in record.stdout


def test_what_has_a_receipt_is_there_after_a_restart(stored: str, tmp_path: Path, app: str) -> None:
    """A new process finds the end of the log, goes on from it, and knows what was published."""
    run(tmp_path, "store", "create", store=stored)
    event = about(app, KARIS_PARTY)
    receipts, seen = list[dict[str, object]](), list[str]()
    for _ in range(2):
        with serving(tmp_path, EVENTFEED_STORE=stored) as served:
            receipts.append(post(served, APP, event).raise_for_status().json())
            token = bearer(served.person_token(KARI))
            body = {"after": "0", "source": f"https://ttd.apps.example.no/ttd/{app}/"}
            seen = ids(served.client.post("/events/api/v1/party", json=body, headers=token))

    assert [event["id"]] == seen
    assert [False, True] == [receipt["duplicate"] for receipt in receipts]
    assert 1 == len({receipt["sequence"] for receipt in receipts})


def test_containers_that_somebody_else_made_are_enough(account: str, tmp_path: Path, app: str) -> None:
    """The first service of a deployment, which may write documents and make no container, makes the log in them."""
    name = uuid.uuid4().hex

    async def stand_up() -> None:
        made = Database(f"http://{account}/", name, key=EMULATOR_KEY, random=random.random, clock=now)
        await made.open()
        await made.create(containers(keep_seconds=KEEP_SECONDS))
        await made.close()

    asyncio.run(stand_up())
    with serving(tmp_path, EVENTFEED_STORE=f"cosmos://{account}/{name}", EVENTFEED_WORKERS="2") as served:
        receipt = post(served, APP, about(app, KARIS_PARTY)).raise_for_status().json()
        token = bearer(served.token("altinn:events/ttd"))
        read = served.client.get(f"/events/api/v1/app/ttd/{app}?after=0", headers=token).raise_for_status()

    assert [receipt["id"]] == ids(read)


def test_a_store_that_would_delete_what_is_shown_is_not_served(stored: str, tmp_path: Path) -> None:
    """A retention longer than the containers' time to live is told, with both, before anything is served."""
    made = run(tmp_path, "store", "create", store=stored)
    longer = {"EVENTFEED_RETENTION_DAYS": "1000"}
    refused = [
        run(tmp_path, *command, store=stored, **longer)
        for command in (("store", "create"), ("store", "new-log"), ("serve", "--port", str(free_port())))
    ]

    assert (0, [1, 1, 1]) == (made.returncode, [each.returncode for each in refused])
    for each in refused:
        assert b"container events deletes after 7783200 s what must stay for 86407200 s" in each.stderr, each.stderr
        assert b"Traceback" not in each.stderr


def test_a_store_that_is_away_is_told_in_a_line(tmp_path: Path) -> None:
    """No account listens there."""
    away = run(tmp_path, "store", "create", store=f"cosmos://127.0.0.1:{free_port()}/x")

    assert 1 == away.returncode
    assert b"Traceback" not in away.stderr
    assert b"store" in away.stderr
