"""The database: the store's clock, and the identity that opens it."""

import asyncio

import pytest

from eventfeed.domain.errors import Unavailable
from eventfeed.log.cosmos import retry
from eventfeed.log.cosmos.containers import OWNERS
from eventfeed.log.cosmos.database import Calls, Database
from eventfeed.telemetry.telemetry import Telemetry
from tests.emulator.running import new_database as new_database_in_emulator
from tests.emulator.running import skip_without_emulator
from tests.support.engines import ManualClock


def new_database(url: str = "http://127.0.0.1/", *, key: str | None = "", clock: ManualClock) -> Database:
    """A database that is not open."""
    return Database(url, "events", key=key, random=lambda: 0.0, clock=clock, telemetry=Telemetry())


@pytest.mark.parametrize(
    ("date", "skew"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", 0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 9_000_000_000),
        ("Tue, 14 Nov 2023 22:13:30 GMT", -10_000_000_000),
        ("no time", 0),
        (None, 0),
    ],
)
def test_clock_skew_is_the_least_possible_difference(date: str | None, skew: int) -> None:
    """The store's time has a resolution of one second."""
    clock = ManualClock()
    database = new_database(clock=clock)
    database.observe_clock({"Date": date} if date else {}, start=clock.uptime())
    clock.check()

    assert skew == clock.skew


def test_slow_response_does_not_change_the_clock_skew() -> None:
    """Its date does not show the store's time precisely enough."""
    clock = ManualClock()
    database = new_database(clock=clock)
    database.observe_clock({"Date": "Tue, 14 Nov 2023 22:13:10 GMT"}, start=clock.uptime())
    clock.advance(10_000_000)
    database.observe_clock({"Date": "Tue, 14 Nov 2023 22:13:25 GMT"}, start=clock.uptime() - 10_000_000_000)
    clock.check()

    assert 9_000_000_000 == clock.skew


async def test_database_in_azure_is_opened_with_the_identity_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint comes from the container app's environment. The token is requested for this client id alone."""
    requests = list[bytes]()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        body = b'{"access_token":"t","expires_on":"4102444800","resource":"x","token_type":"Bearer"}'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer.write(head + body)
        await writer.drain()
        writer.close()

    monkeypatch.setattr(retry, "VERB_SECONDS_MAX", 0.5)
    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "of-this-app")
        monkeypatch.setenv("AZURE_CLIENT_ID", "the-services-identity")
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        database = new_database("https://127.0.0.1:9/", key=None, clock=ManualClock())
        with pytest.raises(Unavailable):  # no server listens on this port
            await database.open()
        await database.close()

    assert b"resource=https://127.0.0.1&client_id=the-services-identity " in requests[0]
    assert b"\r\nX-IDENTITY-HEADER: of-this-app\r\n" in requests[0]


async def test_account_is_reached_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy gets the whole URL. A loopback address is reached without it."""
    targets = list[bytes]()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        targets.append((await reader.readuntil(b"\r\n\r\n")).split()[1])
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        monkeypatch.setenv("HTTP_PROXY", address)
        for url in ("http://account.example/", f"{address}/"):
            database = new_database(url, key="a2V5", clock=ManualClock())
            with pytest.raises(Unavailable):
                await database.open()
            await database.close()

    assert [b"http://account.example/", b"/"] == list(dict.fromkeys(targets))


async def test_request_uses_no_thread(monkeypatch: pytest.MonkeyPatch, emulator_url: str) -> None:
    """The proxy is known from the start, so a request need not look for one."""
    skip_without_emulator(emulator_url)
    async with new_database_in_emulator(emulator_url) as database:
        calls = Calls(database, OWNERS)
        monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", None)
        await calls.create("claim", {"id": "one"})
        documents = await calls.query("owners", "SELECT c.id FROM c", values={})

    assert [{"id": "one"}] == documents
