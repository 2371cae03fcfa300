"""A service in a process of its own, and tokens for its callers."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

# A busy machine needs many times longer than an idle one: these limits only end what hangs.
READY_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 120.0
REQUEST_SECONDS_MAX = 120.0
COMMAND_SECONDS_MAX = 300.0
TTD, SKD = "991825827", "974761076"
BAKERY, ACCOUNTANT, BANK, OTHER_BANK = "310000011", "310000022", "310000033", "310000044"
KARI, OLA = "01838012345", "02838012346"
KARIS_PARTY, OLAS_PARTY, BAKERYS_PARTY = "50000001", "50000002", "51000011"
# The system user of the bakery, in a system of the accountant.
SYSTEM_USER = "7b2e0a4c-5d3f-4c66-9a51-9a0000000011"
COMMAND = str(Path(sys.executable).with_name("eventfeed"))


class RunningService:
    """A running service: its URL, the folder of its files, its process, and an HTTP client for it."""

    def __init__(self, url: str, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.url, self.folder, self.process = url, folder, process
        self.client = httpx.Client(base_url=url, timeout=REQUEST_SECONDS_MAX)

    def token(self, scope: str, *, organisation: str = TTD) -> str:
        """Get a platform token of an organisation from the development issuer and the exchange."""
        form = {"org_number": organisation, "scope": scope}
        external = self.client.post("/development/maskinporten/token", data=form).raise_for_status().text
        return self.exchange(external).raise_for_status().text

    def system_user_token(self, scope: str, *, uuid: str = SYSTEM_USER, owner: str = BAKERY) -> str:
        """Get a platform token of a system user of the accountant's, which belongs to the owner."""
        form = {"org_number": ACCOUNTANT, "scope": scope, "system_user": uuid, "system_user_org": owner}
        external = self.client.post("/development/maskinporten/token", data=form).raise_for_status().text
        return self.exchange(external).raise_for_status().text

    def person_token(self, number: str, *, level: str = "high") -> str:
        """Get a platform token of a person from the development issuer and the exchange."""
        form = {"person": number, "level": level}
        external = self.client.post("/development/id-porten/token", data=form).raise_for_status().text
        return self.exchange(external, provider="id-porten").raise_for_status().text

    def exchange(self, external: str, *, provider: str = "maskinporten") -> httpx.Response:
        """Send a provider's token to the exchange, and return the response."""
        return self.client.get(f"/authentication/api/v1/exchange/{provider}", headers=bearer(external))

    def worker_pids(self) -> list[int]:
        """The process ids of the workers, the oldest first."""
        command = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)]
        output = subprocess.run(command, capture_output=True, check=True).stdout
        return [int(line.split()[0]) for line in output.splitlines() if b"spawn_main" in line]

    def run_command(
        self, *arguments: str, stdin: bytes = b"", **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `eventfeed` with these arguments against this service."""
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=clean_environment(EVENTFEED_PUBLIC_URL=self.url, **environment),
            input=stdin,
            capture_output=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )


def bearer(token: str) -> dict[str, str]:
    """The request header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def clean_environment(**settings: str) -> Mapping[str, str]:
    """The environment of this process, with these settings of the service and no others."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("EVENTFEED_")}, **settings}


def run_with_store(folder: Path, *arguments: str, store: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
    """Run `eventfeed` with these arguments on a store."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=clean_environment(EVENTFEED_STORE=store, **settings),
        capture_output=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )


def free_port() -> int:
    """A port without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    folder: Path, *arguments: str, command: Sequence[str] = (COMMAND,), file_limit: str = "", **settings: str
) -> RunningService:
    """Start a service with its files in `folder`, on `EVENTFEED_PORT` or a free port, and wait until it is ready.

    `command` runs the command line, `file_limit` is the hard limit of open files, if it is set.
    """
    service = launch(folder, *arguments, command=command, file_limit=file_limit, **settings)
    if not _becomes_ready(service):
        stop(service)
        raise AssertionError(f"the service did not start: {(folder / 'output').read_text()}")
    return service


def launch(
    folder: Path, *arguments: str, command: Sequence[str] = (COMMAND,), file_limit: str = "", **settings: str
) -> RunningService:
    """Start a service as `start` does, but do not wait: it may never become ready."""
    port = settings.pop("EVENTFEED_PORT", str(free_port()))
    limit = ["prlimit", f"--nofile={file_limit}"] if file_limit else []
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output").open("ab") as output:
        process = subprocess.Popen(
            [*limit, *command, "serve", "--port", port, *arguments],
            cwd=folder,
            env=clean_environment(**settings),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return RunningService(f"http://127.0.0.1:{port}", folder, process)


def _becomes_ready(service: RunningService) -> bool:
    """Wait until the service is ready. Return False if its process ends or the time is up."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and service.process.poll() is None:
        with suppress(httpx.TransportError):
            if service.client.get("/health/ready").is_success:
                return True
        time.sleep(0.05)
    return False


def stop(service: RunningService) -> int:
    """Stop the service with SIGTERM, and return its exit code."""
    service.client.close()
    if service.process.poll() is None:
        service.process.send_signal(signal.SIGTERM)
    return service.process.wait(timeout=STOP_SECONDS_MAX)


@contextmanager
def running_service(
    folder: Path, *arguments: str, command: Sequence[str] = (COMMAND,), file_limit: str = "", **settings: str
) -> Iterator[RunningService]:
    """Run a service while the block lasts. The arguments are those of `start`."""
    service = start(folder, *arguments, command=command, file_limit=file_limit, **settings)
    try:
        yield service
    finally:
        stop(service)
