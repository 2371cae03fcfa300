"""The image: small, made of what is pinned, run by nobody in particular, and it serves from a root it cannot write.

No engine for containers is needed: the Dockerfile's own commands run in a box. The job `image` of the workflow builds
it with an engine.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

import httpx
import pytest

from eventfeed.app import now
from eventfeed.http.schema import document
from eventfeed.identity.keys import SigningKeys
from eventfeed.settings import SECRETS, described
from tests.emulator.running import emulator
from tests.infra.boxing import available
from tests.infra.image import DOCKERFILE, ROOT, Image, build, copied, settings, stages
from tests.serving import free_port

TEXT = DOCKERFILE.read_text()
BEFORE, FIRST, LAST = stages(TEXT)
USER = 10001
SECRET = "the-secret-of-the-gateway"
URL = "https://events.example.no"
BYTES_MAX = 200_000_000
READY_SECONDS_MAX = 60.0
EVENT = {
    "source": "https://ttd.apps.example.no/ttd/a/instances/50000001/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c",
    "specversion": "1.0",
    "type": "instance.process.completed",
    "subject": "/party/50000001",
}


def words(verb: str) -> list[str]:
    """The arguments of all instructions of a verb in the last stage."""
    return [word for each in LAST if each.verb == verb for word in each.words]


def test_both_stages_stand_on_one_base_pinned_by_its_tag() -> None:
    """What is made runs on what it was made on; a digest can be given in the tag's place."""
    assert [("ARG", "BASE=python:3.11-slim-bookworm")] == [tuple(each) for each in BEFORE]
    assert ["${BASE} AS build", "${BASE}"] == [FIRST[0].value, LAST[0].value]


def test_it_runs_as_a_number_that_is_not_root() -> None:
    """Whoever starts it can see that it is not root; and nothing is done after that."""
    verbs = [each.verb for each in LAST]

    assert [f"{USER}:{USER}"] == words("USER")
    assert {"HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"} == set(verbs[verbs.index("USER") + 1 :])


def test_the_last_stage_holds_what_the_first_has_made_and_no_more() -> None:
    """No tools, no sources, no layers that commands leave behind."""
    assert ["--from=build", "/opt/eventfeed", "/opt/eventfeed"] == words("COPY")
    assert [] == words("RUN")


def test_nothing_comes_from_the_net_but_what_is_pinned() -> None:
    """Packages by their hashes, and no ADD, which would take anything from anywhere."""
    installing = [
        part for each in FIRST if each.verb == "RUN" for part in each.value.split("&&") if " install " in part
    ]

    assert "ADD" not in {each.verb for each in (*FIRST, *LAST)}
    assert not re.search(r"curl|wget|apt-get|https?://(?!127)", TEXT)
    assert [] == [each for each in installing if "--require-hashes" not in each and "--no-index" not in each]


def test_no_secret_is_in_it() -> None:
    """Neither as a setting nor as an argument of the build: they come when it is started."""
    secret = {f"EVENTFEED_{name.upper()}" for name in SECRETS}

    assert not secret & settings().keys()
    assert ["BASE=python:3.11-slim-bookworm"] == [each.value for each in (*BEFORE, *FIRST, *LAST) if each.verb == "ARG"]


def test_its_settings_are_settings() -> None:
    """What it sets by itself, the service knows."""
    known = {f"EVENTFEED_{each.name.upper()}" for each in described()}

    assert {name for name in settings() if name.startswith("EVENTFEED_")} <= known


def test_what_is_copied_is_there_and_nothing_else_is_sent() -> None:
    """The builder is given what the Dockerfile copies, file for file."""
    sources = {source for each in FIRST if each.verb == "COPY" for source, _ in copied(each)}
    let_through = {
        ROOT / line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }

    assert all(source.exists() for source in sources)
    assert sources == let_through


def test_its_processes_hear_what_they_are_told() -> None:
    """No shell stands between a signal and the service; the health check asks what exists."""
    (health,) = [each for each in LAST if each.verb == "HEALTHCHECK"]
    (path,) = re.findall(r"'GET', '([^']+)'", health.value)
    paths = document()["paths"]
    assert isinstance(paths, dict)

    assert (["eventfeed"], ["serve"]) == (words("ENTRYPOINT"), words("CMD"))
    assert path in paths


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """What the first stage makes."""
    if not available():
        pytest.skip("nobody but root may make a box: the workflow's job `image` builds with an engine")
    with tempfile.TemporaryDirectory() as folder:
        yield build(Path(folder))


def test_it_holds_the_service_and_its_requirements_alone(image: Image) -> None:
    """What is pinned for it, the service, and not a file of the tests; all compiled; owned by root, for all to read."""
    (packages,) = (image.made / "lib").glob("python3*/site-packages")
    pinned = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "service.txt").read_text(), re.MULTILINE)
    found = {re.sub(r"[-_.]+", "-", each.name).lower() for each in distributions(path=[str(packages)])}
    files = [each for each in image.made.rglob("*") if each.is_file() and not each.is_symlink()]

    assert "eventfeed" in found
    assert found <= {"eventfeed", *pinned}
    assert not (packages / "tests").exists()
    assert (packages / "eventfeed" / "__pycache__").is_dir()
    assert not [each for each in files if each.stat().st_uid or each.stat().st_mode & 0o022]
    assert sum(each.stat().st_size for each in files) < BYTES_MAX


def kept(folder: Path) -> SigningKeys:
    """A signing key, laid out as a mounted secret is: links to a folder that is exchanged as a whole."""
    keys, mounted = SigningKeys.load(folder / "made"), folder / "platform"
    (mounted / "..2026").mkdir(parents=True)
    (folder / "made" / "0001.pem").rename(mounted / "..2026" / "0-first.pem").chmod(0o644)
    (mounted / "..data").symlink_to("..2026")
    (mounted / "0-first.pem").symlink_to("..data/0-first.pem")
    folder.chmod(0o755)
    return keys


@pytest.fixture
def environment() -> Iterator[Mapping[str, str]]:
    """What the service is told in Azure, but that its store is an emulator's."""
    with emulator() as url:
        if not url:
            pytest.skip("there is no emulator: `make test` installs it")
        yield {
            **{name: value for name, value in settings().items() if name != "PATH"},
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


class Running:
    """The image, started with these settings and a folder of keys; and what else is run of it."""

    def __init__(self, image: Image, environment: Mapping[str, str], folder: Path) -> None:
        self._image, self._folder = image, folder
        self._environment = {"PATH": os.environ["PATH"], **environment}
        self.output = folder / "output"
        self.once(["eventfeed", "store", "create"])
        with self.output.open("wb") as output:
            command = self._command([*words("ENTRYPOINT"), *words("CMD")])
            self._process = subprocess.Popen(command, env=self._environment, stdout=output, stderr=output)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{environment['EVENTFEED_PORT']}", timeout=30)

    def _command(self, words: Sequence[str]) -> Sequence[str]:
        return self._image.command(words, shown={"/keys": self._folder}, user=USER)

    def once(self, words: Sequence[str]) -> None:
        """Run a command of the image to its end."""
        subprocess.run(self._command(words), env=self._environment, capture_output=True, check=True)

    def wait(self) -> None:
        """Wait until it is ready."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if self.client.get("/health/ready").is_success:
                    return
            time.sleep(0.1)
        raise AssertionError(self.output.read_text())

    def stop(self) -> int:
        """Tell the first process of the box to end, as whoever runs a container does; its exit code."""
        self.client.close()
        (first,) = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        return self._process.wait(timeout=30)


def test_it_serves_from_a_root_that_it_cannot_write(
    image: Image, environment: Mapping[str, str], tmp_path: Path
) -> None:
    """As the first process of its box and as nobody: probes, a publish, a read; told to end it ends with 0."""
    keys = kept(tmp_path)
    box = Running(image, environment, tmp_path)
    box.wait()
    probes = [box.client.get(path).status_code for path in ("/health/live", "/health/ready")]
    past = box.client.get("/events/api/v1/head")
    box.client.headers = httpx.Headers({"X-Gateway-Secret": SECRET, "Authorization": f"Bearer {token(keys)}"})
    receipt = box.client.post("/events/api/v1/app", json=EVENT).raise_for_status().json()
    page = box.client.get("/events/api/v1/app/ttd/a?after=0").raise_for_status()
    (health,) = [each for each in LAST if each.verb == "HEALTHCHECK"]
    box.once(health.words)
    code = box.stop()
    printed = box.output.read_text()

    assert ([200, 200], 403) == (probes, past.status_code)
    assert [receipt["id"]] == [event["id"] for event in page.json()]
    assert page.headers["next"].startswith(f"{URL}/events/api/v1/app/ttd/a?after=")
    assert [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert "Traceback" not in printed
    assert SECRET not in printed
    assert 0 == code


def token(keys: SigningKeys) -> str:
    """A platform token of an organisation."""
    return keys.sign(
        {
            "iss": f"{URL}/authentication/api/v1/openid/",
            "exp": now() // 1_000_000 + 600,
            "scope": "altinn:events.publish altinn:events/ttd",
            "urn:altinn:org": "ttd",
            "urn:altinn:authenticatemethod": "maskinporten",
            "urn:altinn:authlevel": 3,
        }
    )
