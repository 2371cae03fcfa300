"""`eventfeed doctor` as an operator runs it."""

import json
import subprocess
from pathlib import Path

from tests.support.faketime import FakeClock
from tests.support.service import (
    COMMAND,
    COMMAND_SECONDS_MAX,
    RunningService,
    clean_environment,
    running_service,
)


def doctor(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    return subprocess.run(
        [COMMAND, "doctor", *arguments],
        cwd=folder,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )


def port_of(service: RunningService) -> str:
    """The port of a service."""
    return service.url.rpartition(":")[2]


def test_doctor_of_a_running_service_finds_nothing(tmp_path: Path) -> None:
    """It says who holds the port, and that the service is ready. The same machine with a wrong clock is not right."""
    with running_service(tmp_path) as service:
        for file in (tmp_path / ".eventfeed").glob("log.*"):
            file.chmod(0o600)
        right = doctor(tmp_path, "--port", port_of(service))
        clock = FakeClock(tmp_path / "clock", ahead=-5 * 3_600)
        wrong = doctor(tmp_path, "--port", port_of(service), "--json", **clock.environment)
    findings = {each["subject"]: each for each in map(json.loads, wrong.stdout.splitlines())}

    assert (0, "") == (right.returncode, right.stderr), right.stdout
    assert {"ok"} == {line.split()[0] for line in right.stdout.splitlines()}
    for text in ("A running eventfeed service holds", "It is ready.", "agrees with the processes of the store"):
        assert text in right.stdout
    assert 1 == wrong.returncode
    assert not findings["clock"]["ok"]
    assert "18000 s behind" in findings["clock"]["state"]
    assert findings["service"]["ok"]


def test_every_wrong_setting_is_a_line_of_the_doctor(tmp_path: Path) -> None:
    """Unknown names, invalid values and contradictions end the checks."""
    settings = {"EVENTFEED_NAME": "1", "EVENTFEED_WORKERS": "0", "EVENTFEED_COSMOS_KEY": "x"}
    result = doctor(tmp_path, **settings)

    assert (1, 3, "") == (result.returncode, len(result.stdout.splitlines()), result.stderr)
    for name in settings:
        assert f"wrong settings  {name}" in result.stdout
    assert "Traceback" not in result.stderr
