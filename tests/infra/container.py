"""The image by container tools without a daemon: built from the Dockerfile by buildah, run by runc.

The base image is made by debootstrap, since none can be pulled everywhere: Debian bookworm with its own Python 3.11.
It is kept in .venv/image, with the layers of the last image.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".venv" / "image"
TOOLS = ("buildah", "runc", "debootstrap")
BASE, IMAGE = "localhost/eventfeed-base", "localhost/eventfeed"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_STORAGE = ("--root", str(CACHE / "storage"), "--runroot", str(CACHE / "run"))
# They end what hangs: the service is live after two seconds on an idle machine.
_LIVE_SECONDS_MAX, _STOP_SECONDS_MAX = 300.0, 120


def missing_tools() -> Sequence[str]:
    """Return what this machine lacks to build and run the image."""
    missing = [each for each in TOOLS if shutil.which(each) is None]
    return [*missing, *(["the rights of root"] if os.geteuid() else [])]


def run_tool(*command: str, expected_exit_code: int | None = 0) -> str:
    """Run a command and return its output. Raises `AssertionError` for another exit code than the expected one."""
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if expected_exit_code not in (None, process.returncode):
        raise AssertionError(f"{' '.join(command)} ended with {process.returncode}:\n{process.stdout}{process.stderr}")
    return process.stdout


def buildah(command: str, *words: str) -> str:
    """Run a command of buildah on the images in the cache, and return its output."""
    return run_tool("buildah", *_STORAGE, command, *words).strip()


def build_image() -> None:
    """Build the image from the Dockerfile, on a base that is made once, and remove the layers of earlier builds."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if BASE not in buildah("images", "--format", "{{.Name}}").split():
        _build_base()
    options = ["--isolation", "chroot", "--network", "host", "--layers"]
    buildah("bud", *options, "--build-arg", f"BASE={BASE}", "--file", "service/Dockerfile", "--tag", IMAGE, ".")
    buildah("rmi", "--prune")


def _build_base() -> None:
    system = CACHE / "system"
    shutil.rmtree(system, ignore_errors=True)
    packages = "--include=python3,python3-venv,ca-certificates"
    run_tool("debootstrap", "--variant=minbase", packages, "bookworm", str(system))
    (system / "usr" / "bin" / "python").symlink_to("python3")
    # The authorities that this machine trusts, for the installation of packages.
    shutil.copy(_CERTIFICATES, system / _CERTIFICATES.relative_to("/"))
    container = buildah("from", "scratch")
    buildah("add", container, str(system), "/")
    buildah("config", "--env", f"SSL_CERT_FILE={_CERTIFICATES}", "--env", f"PIP_CERT={_CERTIFICATES}", container)
    buildah("commit", "--rm", container, BASE)
    shutil.rmtree(system)


def image_config() -> Mapping[str, Any]:
    """Return the configuration of the image: its user, variables, entry point and command."""
    config: Mapping[str, Any] = json.loads(buildah("inspect", "--type", "image", IMAGE))["OCIv1"]["config"]
    return config


def runtime_spec(config: Mapping[str, Any], root: str, environment: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the specification of a container of the image: a read-only root, no rights, one folder to write to."""
    user, group = (int(each) for each in config["User"].split(":"))
    none: dict[str, list[str]] = {each: [] for each in ("bounding", "effective", "permitted", "inheritable", "ambient")}
    mount = {"options": ["nosuid", "noexec", "nodev"]}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": user, "gid": group},
            "args": [*config["Entrypoint"], *config["Cmd"]],
            "env": [*config["Env"], *(f"{name}={value}" for name, value in environment.items())],
            "cwd": "/",
            "capabilities": none,
            "noNewPrivileges": True,
        },
        "root": {"path": root, "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", **mount},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {
                "destination": "/store",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "noexec", "nodev", f"uid={user}", f"gid={group}", "mode=700"],
            },
        ],
        # It shares the machine's network, so that no daemon has to forward a port.
        "linux": {"namespaces": [{"type": each} for each in ("pid", "ipc", "uts", "mount")]},
    }


class Container:
    """A running container of the image, and how long it took until it was live."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], url: str, output: Path) -> None:
        self._name, self._process, self._output = name, process, output
        self.url = url
        self.live_seconds = self._wait_until_live()

    @property
    def log(self) -> str:
        """The output of the service."""
        return self._output.read_text()

    def execute(self, *command: str, expected_exit_code: int | None = 0) -> str:
        """Run a command in the container, with the rights of the service, and return its output."""
        return run_tool("runc", "exec", self._name, *command, expected_exit_code=expected_exit_code)

    def stop(self) -> tuple[int, float]:
        """Send SIGTERM, and return the exit code of the service and the seconds until it ended."""
        start = time.monotonic()
        run_tool("runc", "kill", self._name, "TERM")
        return self._process.wait(timeout=_STOP_SECONDS_MAX), time.monotonic() - start

    def _wait_until_live(self) -> float:
        start = time.monotonic()
        while time.monotonic() - start < _LIVE_SECONDS_MAX and self._process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health/live").is_success:
                    return time.monotonic() - start
            time.sleep(0.02)
        raise AssertionError(self.log)


@contextlib.contextmanager
def running_container(folder: Path, environment: Mapping[str, str], *, url: str) -> Iterator[Container]:
    """Run the image with these variables. `folder` keeps the specification and the output."""
    container = buildah("from", IMAGE)
    name, output = f"eventfeed-{os.getpid()}", folder / "output"
    try:
        spec = runtime_spec(image_config(), buildah("mount", container), environment)
        (folder / "config.json").write_text(json.dumps(spec))
        with output.open("wb") as file:
            command = ["runc", "run", "--bundle", str(folder), name]
            with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file) as process:
                try:
                    yield Container(name, process, url, output)
                finally:
                    run_tool("runc", "delete", "--force", name, expected_exit_code=None)
    finally:
        buildah("rm", container)
