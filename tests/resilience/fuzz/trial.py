"""A trial: mutated requests to the application in this process and to a real server, and what came back."""

import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from eventfeed.app.application import create_application
from eventfeed.app.store import Store
from eventfeed.identity.keys import SigningKeys
from eventfeed.settings import Settings, load
from eventfeed.telemetry.telemetry import Telemetry
from tests.resilience.fuzz.requests import Tokens, as_bytes, mutate, valid_requests
from tests.support.asgi import HOST, AsgiRequest, send_request
from tests.support.service import KARI, RunningService

SCOPES = "altinn:events.publish altinn:events/ttd altinn:events/reportees altinn:events.subscribe altinn:events.admin"
# A request of this process that takes more processor time, and one of a server that takes more time, hangs.
SECONDS_MAX, SERVER_SECONDS_MAX = 1.0, 60.0
# The most failures of a trial that are kept.
FAILURES_MAX = 20


class Report:
    """The statuses of all requests, the longest one, and the failures."""

    def __init__(self) -> None:
        self.statuses, self.longest, self.failures = Counter[int](), 0.0, list[str]()

    def add(self, request: AsgiRequest, *, status: int, seconds: float, seconds_max: float) -> None:
        """Count a request. A 5xx and a request that takes too long are failures."""
        self.statuses[status] += 1
        self.longest = max(self.longest, seconds)
        if not 200 <= status < 500 or seconds > seconds_max:
            self.add_failure(f"{status} after {seconds:.3f} s: {request!r:.2000}")

    def add_failure(self, failure: str) -> None:
        """Keep a failure, unless there are many."""
        if len(self.failures) < FAILURES_MAX:
            self.failures.append(failure)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        return f"{self.statuses.total()} requests: {counts}; longest {self.longest * 1_000:.0f} ms"


def fuzz_settings(folder: Path) -> Settings:
    """The settings of a service that limits no request of a trial."""
    return load({"EVENTFEED_STORE": f"sqlite:///{folder}/log.db", **LIMITS})


LIMITS = {"EVENTFEED_ADDRESS_REQUESTS": "1000000", "EVENTFEED_INSTANCE_REQUESTS": "1000000"}


async def fuzz_application(folder: Path, *, seed: int, count: int, show: bool = False) -> Report:
    """Send requests to the application in this process. Its longest request is in seconds of the processor."""
    settings, report, rng = fuzz_settings(folder), Report(), random.Random(seed)  # no secret
    await Store(settings, Telemetry()).create()
    application = create_application(settings, Telemetry())
    async with application.lifespan():
        requests = valid_requests(_own_tokens(settings), await _own_cursor(application, settings))
        for number in range(count):
            request = mutate(rng.choice(requests), rng)
            before = time.process_time()
            response = await send_request(application, request)
            seconds = time.process_time() - before
            report.add(request, status=response.status, seconds=seconds, seconds_max=SECONDS_MAX)
            if response.status == HTTPStatus.BAD_REQUEST and response.body and b'"errors":[' not in response.body:
                report.add_failure(f"400 without a fault: {request!r:.2000}")
            if show and number % 50_000 == 0:
                print(report, file=sys.stderr, flush=True)
    return report


def fuzz_server(service: RunningService, *, seed: int, count: int) -> Report:
    """Send requests as bytes to a real server. What is no HTTP counts with the status of its answer."""
    report, rng = Report(), random.Random(seed)  # no secret
    tokens = Tokens(service.token(SCOPES), service.person_token(KARI))
    exchange = AsgiRequest("GET", b"/authentication/api/v1/exchange/maskinporten", headers=_external_token(service))
    requests = [*valid_requests(tokens, "0"), exchange]
    address = urlsplit(service.url)
    for _ in range(count):
        request = mutate(rng.choice(requests), rng)
        content = as_bytes(request, address.netloc.encode())
        before = time.monotonic()
        status = _status((str(address.hostname), int(address.port or 0)), _damage(content, rng))
        seconds = time.monotonic() - before
        report.add(request, status=status, seconds=seconds, seconds_max=SERVER_SECONDS_MAX)
    return report


def _damage(content: bytes, rng: random.Random) -> bytes:
    """Return the bytes, a tenth of them with one changed in the head."""
    at = rng.randrange(content.index(b"\r\n\r\n"))
    return content if rng.random() < 0.9 else content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]


def _status(address: tuple[str, int], content: bytes) -> int:
    """Return the status of the answer to these bytes; 400 if the server closes the connection without one.

    An answer without an end, such as a stream, is read to its first line. Bytes without an end get an end.
    """
    with socket.create_connection(address, timeout=SERVER_SECONDS_MAX) as connection:
        try:
            connection.sendall(content + b"\r\n\r\n")
            line = connection.makefile("rb").readline()
        except ConnectionError:
            return 400
    return int(line.split()[1]) if line.startswith(b"HTTP/") else 400


def _external_token(service: RunningService) -> Sequence[tuple[bytes, bytes]]:
    form = {"org_number": "991825827", "scope": SCOPES}
    token = service.client.post("/development/maskinporten/token", data=form).raise_for_status().text
    return (HOST, (b"authorization", f"Bearer {token}".encode()))


def _own_tokens(settings: Settings) -> Tokens:
    """Return platform tokens that the application accepts: they are signed by its own keys."""
    keys = SigningKeys.load(settings.keys_path / "platform")
    common = {
        "iss": f"{settings.own_url}/authentication/api/v1/openid/",
        "exp": int(time.time()) + 86_400,
        "scope": SCOPES,
        "urn:altinn:authlevel": 4,
    }
    organisation = {"urn:altinn:orgNumber": "310000033", "urn:altinn:org": "ttd", "urn:altinn:partyid": 51000033}
    person = {"urn:altinn:userid": 20000001, "urn:altinn:partyid": 50000001}
    return Tokens(
        keys.sign({**common, **organisation, "urn:altinn:authenticatemethod": "maskinporten"}),
        keys.sign({**common, **person, "urn:altinn:authenticatemethod": "id-porten"}),
    )


async def _own_cursor(application: Any, settings: Settings) -> str:
    """Publish some events, and return the cursor of the first page."""
    publish, read, *_ = (
        next(each for each in valid_requests(_own_tokens(settings), "0") if (each.method, each.path) == key)
        for key in (("POST", b"/events/api/v1/app"), ("GET", b"/events/api/v1/app/ttd/bolig"))
    )
    for _ in range(5):
        response = await send_request(application, publish)
        assert response.status == 201, response.body
    page = await send_request(application, read)
    assert page.status == 200, page.body
    return page.headers["feed-cursor"]
