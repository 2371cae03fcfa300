"""The image as container tools build and run it. `make image` runs these tests; they need root, buildah and runc."""

import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.infra.container import CACHE, build_image, buildah, missing_tools, running_container
from tests.infra.image import health_check
from tests.infra.session_cache import SessionCache
from tests.support.service import COMMAND, clean_environment, free_port

USER = "10001"
# Times and sizes, which `make image` prints.
FIGURES = CACHE / "figures.txt"


class Facts(NamedTuple):
    """The observations of one container of the image, from its start to its end."""

    # Of its first process, as the kernel describes it.
    status: str
    # The errors of attempts to write to the root.
    writes: str
    scenarios: subprocess.CompletedProcess[str]
    log: str
    exit_code: int


@pytest.fixture(scope="session")
def facts(session_cache: SessionCache, tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """The facts of one container, in which all scenarios were played, for every process of the session."""
    if missing := missing_tools():
        pytest.skip(f"the image needs {', '.join(missing)}: apt-get install buildah runc debootstrap")
    return session_cache.get("container", lambda: observe_container(tmp_path_factory.mktemp("container")))


def observe_container(folder: Path) -> Facts:
    """Build the image, run a container of it, play the scenarios and stop it."""
    build_image()
    url = f"http://127.0.0.1:{free_port()}"
    # Development issuers, which the scenarios use, need a loopback address.
    settings = {
        "STORE": "sqlite:////store/log.db",
        "HOST": "127.0.0.1",
        "PORT": url.rpartition(":")[2],
        "PUBLIC_URL": url,
    }
    environment = {f"EVENTFEED_{name}": value for name, value in settings.items()}
    with running_container(folder, environment, url=url) as container:
        status = container.execute("cat", "/proc/1/status")
        writes = container.execute("sh", "-c", "touch /x /opt/eventfeed/x 2>&1", expected_exit_code=None)
        container.execute(*health_check())
        scenarios = play_scenarios(url)
        memory = int(status_line(status, "VmRSS")[0]) // 1024
        exit_code, stop_seconds = container.stop()
        log, live_seconds = container.log, container.live_seconds
    figures = f"live after {live_seconds:.1f} s with {memory} MB, stopped after {stop_seconds:.2f} s"
    sizes = buildah("images", "--format", "{{.Name}}: {{.Size}}")
    FIGURES.write_text(f"{figures}\n{sizes}\n")
    return Facts(status=status, writes=writes, scenarios=scenarios, log=log, exit_code=exit_code)


def status_line(status: str, name: str) -> list[str]:
    """Return the values of a line of /proc/PID/status."""
    (values,) = [line.split()[1:] for line in status.splitlines() if line.startswith(f"{name}:")]
    return values


def play_scenarios(url: str) -> subprocess.CompletedProcess[str]:
    """Play the scenarios against the service, from outside of the container."""
    environment = clean_environment(EVENTFEED_PUBLIC_URL=url)
    return subprocess.run([COMMAND, "scenarios"], env=environment, capture_output=True, text=True, check=False)


def test_service_runs_without_any_right(facts: Facts) -> None:
    """It is the first process, with the user of the image, no capability, and no way to get one."""
    capabilities = [status_line(facts.status, name) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")]

    assert [USER] * 4 == status_line(facts.status, "Uid")
    assert [["0" * 16]] * 5 == capabilities
    assert ["1"] == status_line(facts.status, "NoNewPrivs")


def test_service_needs_no_writable_root(facts: Facts) -> None:
    """Nothing but the store's folder can be written to."""
    assert 2 == facts.writes.count("Read-only file system")


def test_container_serves_every_scenario(facts: Facts) -> None:
    """Scenario 1 and the others pass against the container, and the service logs no error."""
    assert 0 == facts.scenarios.returncode, facts.scenarios.stderr
    assert 5 == facts.scenarios.stdout.count("passed")
    assert "Traceback" not in facts.log


def test_container_exits_with_zero_after_sigterm(facts: Facts) -> None:
    """A container runtime that stops it reports no failure."""
    assert 0 == facts.exit_code
