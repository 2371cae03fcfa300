"""A real service in a process of its own, and callers with real tokens."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

READY_SECONDS_MAX = 30.0
TTD, SKD = "991825827", "974761076"
BAKERY, ACCOUNTANT, BANK, OTHER_BANK = "310000011", "310000022", "310000033", "310000044"
KARI, OLA = "01838012345", "02838012346"
KARIS_PARTY, OLAS_PARTY, BAKERYS_PARTY = "50000001", "50000002", "51000011"
COMMAND = str(Path(sys.executable).with_name("eventfeed"))


class Served:
    """A running service: where it is, and its process."""

    def __init__(self, url: str, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.url, self.folder, self.process = url, folder, process
        self.client = httpx.Client(base_url=url, timeout=30)

    def token(self, scope: str, *, organisation: str = TTD) -> str:
        """A platform token, through the development Maskinporten and the exchange."""
        form = {"org_number": organisation, "scope": scope}
        external = self.client.post("/development/maskinporten/token", data=form).raise_for_status().text
        return self.exchanged(external).raise_for_status().text

    def person_token(self, number: str, *, level: str = "high") -> str:
        """A platform token of a person, through the development ID-porten and the exchange."""
        form = {"person": number, "level": level}
        external = self.client.post("/development/id-porten/token", data=form).raise_for_status().text
        return self.exchanged(external, provider="id-porten").raise_for_status().text

    def exchanged(self, external: str, *, provider: str = "maskinporten") -> httpx.Response:
        """The exchange's answer to a token of a provider."""
        return self.client.get(f"/authentication/api/v1/exchange/{provider}", headers=bearer(external))

    def command(self, *arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
        """Run the command line against this service."""
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=clean_environment(EVENTFEED_PUBLIC_URL=self.url, **environment),
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def clean_environment(**settings: str) -> Mapping[str, str]:
    """This process's environment with these settings and no others."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("EVENTFEED_")}, **settings}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, *arguments: str, **settings: str) -> Served:
    """Start a service with its files in `folder`, on a free port unless told, and wait until it is ready."""
    port = settings.pop("EVENTFEED_PORT", str(free_port()))
    url = f"http://127.0.0.1:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output").open("ab") as output:
        process = subprocess.Popen(
            [COMMAND, "serve", "--port", port, *arguments],
            cwd=folder,
            env=clean_environment(**settings),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    served = Served(url, folder, process)
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if served.client.get("/health/ready").is_success:
                return served
        except httpx.TransportError:
            time.sleep(0.05)
    stop(served)
    raise AssertionError(f"the service did not start: {(folder / 'output').read_text()}")


def stop(served: Served) -> int:
    """Stop it as an operator would; its exit code."""
    served.client.close()
    if served.process.poll() is None:
        served.process.send_signal(signal.SIGTERM)
    return served.process.wait(timeout=30)


@contextmanager
def serving(folder: Path, *arguments: str, **settings: str) -> Iterator[Served]:
    """A service while the block lasts."""
    served = start(folder, *arguments, **settings)
    try:
        yield served
    finally:
        stop(served)
