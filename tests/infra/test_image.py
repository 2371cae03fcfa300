"""The container image: small, built from hashes, and its service runs as an unprivileged user on a read-only root.

The tests need no container engine: they run the Dockerfile's commands in a sandbox. The workflow's job `image` builds
the image with an engine.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

import httpx
import pytest

from eventfeed.http.operations.openapi import document
from eventfeed.identity.keys import SigningKeys
from eventfeed.settings import SECRETS, describe_settings
from tests.emulator.running import emulator
from tests.infra.image import (
    DOCKERFILE,
    ROOT,
    Image,
    build_image,
    copies,
    health_check,
    image_environment,
    image_in,
    parse_stages,
)
from tests.infra.sandbox import is_available
from tests.infra.session_cache import SessionCache
from tests.support.service import free_port

TEXT = DOCKERFILE.read_text()
PREAMBLE, BUILD_STAGE, FINAL_STAGE = parse_stages(TEXT)
USER = 10001
SECRET = "the-secret-of-the-gateway"
URL = "https://events.example.no"
# SQLite in apsw takes 9 MB of it, the driver of PostgreSQL for imports another 9.
BYTES_MAX = 225_000_000
# Far more than on an idle machine, where the service is ready after three seconds and stops within one.
READY_SECONDS_MAX = 300.0
STOP_SECONDS_MAX = 60
EVENT = {
    "source": "https://ttd.apps.example.no/ttd/a/instances/50000001/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c",
    "specversion": "1.0",
    "type": "instance.process.completed",
    "subject": "/party/50000001",
}


def words(verb: str) -> list[str]:
    """Return the arguments of all instructions with this verb in the final stage."""
    return [word for each in FINAL_STAGE if each.verb == verb for word in each.words]


def test_both_stages_use_the_same_pinned_base() -> None:
    """The base is pinned by its tag; the argument BASE accepts a digest instead."""
    assert [("ARG", "BASE=python:3.11-slim-bookworm")] == [tuple(each) for each in PREAMBLE]
    assert ["${BASE} AS build", "${BASE}"] == [BUILD_STAGE[0].value, FINAL_STAGE[0].value]


def test_user_is_numeric_and_not_root() -> None:
    """A runtime can verify a numeric user. Only metadata follows the USER instruction."""
    verbs = [each.verb for each in FINAL_STAGE]

    assert [f"{USER}:{USER}"] == words("USER")
    assert {"HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"} == set(verbs[verbs.index("USER") + 1 :])


def test_final_stage_contains_only_the_build_result() -> None:
    """It has no build tools, no sources and no layers of commands."""
    assert ["--from=build", "/opt/eventfeed", "/opt/eventfeed"] == words("COPY")
    assert [] == words("RUN")


def test_downloads_are_packages_with_hashes_only() -> None:
    """Every installation requires hashes or uses no index. ADD, which downloads without a check, is not used."""
    installations = [
        part for each in BUILD_STAGE if each.verb == "RUN" for part in each.value.split("&&") if " install " in part
    ]

    assert "ADD" not in {each.verb for each in (*BUILD_STAGE, *FINAL_STAGE)}
    assert not re.search(r"curl|wget|apt-get|https?://(?!127)", TEXT)
    assert [] == [each for each in installations if "--require-hashes" not in each and "--no-index" not in each]


def test_image_contains_no_secret_setting() -> None:
    """Secrets are neither variables nor build arguments: the runtime sets them."""
    secrets = {f"EVENTFEED_{name.upper()}" for name in SECRETS}
    arguments = [each.value for each in (*PREAMBLE, *BUILD_STAGE, *FINAL_STAGE) if each.verb == "ARG"]

    assert not secrets & image_environment().keys()
    assert ["BASE=python:3.11-slim-bookworm"] == arguments


def test_image_variables_are_settings_of_the_service() -> None:
    """The service knows every EVENTFEED variable that the image sets."""
    settings = {f"EVENTFEED_{each.name.upper()}" for each in describe_settings()}

    assert {name for name in image_environment() if name.startswith("EVENTFEED_")} <= settings


def test_build_context_is_exactly_the_copied_files() -> None:
    """.dockerignore lets through the sources of the COPY instructions, and they all exist."""
    sources = {source for each in BUILD_STAGE if each.verb == "COPY" for source, _ in copies(each)}
    context = {
        ROOT / line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }

    assert all(source.exists() for source in sources)
    assert sources == context


def test_entry_point_receives_signals_directly() -> None:
    """The entry point runs without a shell, and the health check requests an existing path."""
    (path,) = re.findall(r"'GET', '([^']+)'", " ".join(health_check()))
    paths = document()["paths"]
    assert isinstance(paths, dict)

    assert (["eventfeed"], ["serve"]) == (words("ENTRYPOINT"), words("CMD"))
    assert path in paths


@pytest.fixture(scope="module")
def image(session_cache: SessionCache) -> Iterator[Image]:
    """The image, built in a sandbox once in a session."""
    if not is_available():
        pytest.skip("only root can create a sandbox; the workflow's job `image` builds with a container engine")
    with session_cache.folder("image", build_image) as folder:
        yield image_in(folder)


def test_image_contains_only_the_service_and_its_requirements(image: Image) -> None:
    """All packages are compiled, owned by root and readable by everybody; tests are not included."""
    (packages,) = (image.result / "lib").glob("python3*/site-packages")
    requirements = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "service.txt").read_text(), re.MULTILINE)
    names = {re.sub(r"[-_.]+", "-", each.name).lower() for each in distributions(path=[str(packages)])}
    files = [each for each in image.result.rglob("*") if each.is_file() and not each.is_symlink()]

    assert "eventfeed" in names
    assert names <= {"eventfeed", *requirements}
    assert not (packages / "tests").exists()
    assert (packages / "eventfeed" / "__pycache__").is_dir()
    assert not [each for each in files if each.stat().st_uid or each.stat().st_mode & 0o022]
    assert sum(each.stat().st_size for each in files) < BYTES_MAX


def create_keys(folder: Path) -> SigningKeys:
    """Create a signing key in `folder`, with the links of a mounted secret volume."""
    keys, volume = SigningKeys.load(folder / "keys"), folder / "platform"
    (volume / "..2026").mkdir(parents=True)
    (folder / "keys" / "0001.pem").rename(volume / "..2026" / "0-first.pem").chmod(0o644)
    (volume / "..data").symlink_to("..2026")
    (volume / "0-first.pem").symlink_to("..data/0-first.pem")
    folder.chmod(0o755)
    return keys


@pytest.fixture
def environment() -> Iterator[Mapping[str, str]]:
    """The service's environment in Azure, with an emulator as its store."""
    with emulator() as url:
        if not url:
            pytest.skip("there is no emulator: `make test` installs it")
        yield {
            **{name: value for name, value in image_environment().items() if name != "PATH"},
            "EVENTFEED_STORE": f"cosmos://{url.removeprefix('http://').rstrip('/')}/{uuid.uuid4().hex}",
            "EVENTFEED_PORT": str(free_port()),
            "EVENTFEED_PUBLIC_URL": URL,
            "EVENTFEED_MASKINPORTEN_ISSUER": "https://maskinporten.example.no/",
            "EVENTFEED_MASKINPORTEN_AUDIENCES": URL,
            "EVENTFEED_PLATFORM_URL": "https://platform.example.no",
            "EVENTFEED_PLATFORM_ORGS_URL": "https://platform.example.no/altinn-orgs.json",
            "EVENTFEED_KEYS": "/keys",
            "EVENTFEED_LOG_LEVEL": "info",
            "EVENTFEED_GATEWAY_SECRET": SECRET,
        }


class Container:
    """A process of the image, with an environment and a folder of keys."""

    def __init__(self, image: Image, environment: Mapping[str, str], folder: Path) -> None:
        self._image, self._folder = image, folder
        self._environment = {"PATH": os.environ["PATH"], **environment}
        self.output = folder / "output"
        self.run(["eventfeed", "store", "create"])
        with self.output.open("wb") as output:
            command = self._command([*words("ENTRYPOINT"), *words("CMD")])
            self._process = subprocess.Popen(command, env=self._environment, stdout=output, stderr=output)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{environment['EVENTFEED_PORT']}", timeout=30)

    def _command(self, words: Sequence[str]) -> Sequence[str]:
        return self._image.command(words, readable={"/keys": self._folder}, user=USER)

    def run(self, words: Sequence[str]) -> None:
        """Run another command of the image and wait for its end."""
        process = subprocess.run(self._command(words), env=self._environment, capture_output=True, check=False)
        assert process.returncode == 0, process.stderr.decode()

    def wait(self) -> None:
        """Wait until the service is ready."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if self.client.get("/health/ready").is_success:
                    return
            time.sleep(0.1)
        raise AssertionError(self.output.read_text())

    def stop(self) -> int:
        """Send SIGTERM to the first process, as a container runtime does, and return the exit code."""
        self.client.close()
        (child,) = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
        return self._process.wait(timeout=STOP_SECONDS_MAX)


def test_image_serves_from_a_read_only_root(image: Image, environment: Mapping[str, str], tmp_path: Path) -> None:
    """As the first process and an unprivileged user it answers probes, a publish and a read, and exits with 0."""
    keys = create_keys(tmp_path)
    container = Container(image, environment, tmp_path)
    container.wait()
    probes = [container.client.get(path).status_code for path in ("/health/live", "/health/ready")]
    without_secret = container.client.get("/events/api/v1/head")
    container.client.headers = httpx.Headers({"X-Gateway-Secret": SECRET, "Authorization": f"Bearer {token(keys)}"})
    receipt = container.client.post("/events/api/v1/app", json=EVENT).raise_for_status().json()
    page = container.client.get("/events/api/v1/app/ttd/a?after=0").raise_for_status()
    container.run(health_check())
    exit_code = container.stop()
    output = container.output.read_text()

    assert ([200, 200], 403) == (probes, without_secret.status_code)
    assert [receipt["id"]] == [event["id"] for event in page.json()]
    assert page.headers["next"].startswith(f"{URL}/events/api/v1/app/ttd/a?after=")
    assert [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert "Traceback" not in output
    assert SECRET not in output
    assert 0 == exit_code


def token(keys: SigningKeys) -> str:
    """Return a platform token of an organisation."""
    return keys.sign(
        {
            "iss": f"{URL}/authentication/api/v1/openid/",
            "exp": int(time.time()) + 600,
            "scope": "altinn:events.publish altinn:events/ttd",
            "urn:altinn:org": "ttd",
            "urn:altinn:authenticatemethod": "maskinporten",
            "urn:altinn:authlevel": 3,
        }
    )
