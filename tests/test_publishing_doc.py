"""The publishing page: its examples run, and a repeat of them adds no event."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.service import COMMAND, COMMAND_SECONDS_MAX, RunningService, clean_environment, running_service

PAGE = (Path(__file__).parents[1] / "docs" / "publishing.md").read_text()


def examples(language: str) -> list[str]:
    """The code blocks of the page in this language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def run_twice(service: RunningService, *command: str) -> list[str]:
    """Run a command twice and return its output."""
    outputs = []
    for _ in range(2):
        run = subprocess.run(
            command,
            cwd=service.folder,
            env=clean_environment(EVENTFEED_PUBLIC_URL=service.url, EVENTFEED_PORT=service.url.rpartition(":")[2]),
            capture_output=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        assert (0, b"") == (run.returncode, run.stderr)
        outputs.append(run.stdout.decode())
    return outputs


def test_publishing_examples_run_twice_and_add_each_event_once(tmp_path: Path) -> None:
    """Both examples are pasted as they are; the second run gets the first receipts."""
    with running_service(tmp_path) as service:
        (program,), (script, *_) = examples("python"), examples("sh")
        program = program.replace("http://127.0.0.1:8080", service.url)
        script = script.replace(".venv/bin/eventfeed", COMMAND)
        first, second = run_twice(service, sys.executable, "-c", program)
        summaries = run_twice(service, "bash", "-euc", script)
        feed = "/events/api/v1/app/ttd/bolig?after=0"
        events = service.client.get(feed, headers={"Authorization": f"Bearer {service.token('altinn:events/ttd')}"})

    assert (first.split()[::2], second.split()[::2]) == (["1", "False"], ["1", "True"])
    assert "" not in summaries
    assert len(events.json()) == 2


def test_example_of_an_app_publishes_with_a_key_pair_of_its_own(tmp_path: Path) -> None:
    """Its commands make the keys, sign a token and publish. The page names the setting."""
    _, make_keys, publish = examples("sh")
    subprocess.run(["bash", "-euc", make_keys], cwd=tmp_path, capture_output=True, check=True)
    (setting,) = set(re.findall(r"EVENTFEED_APP_TOKEN_KEYS=([^` ]+)", PAGE))
    with running_service(tmp_path, EVENTFEED_APP_TOKEN_KEYS=setting) as service:
        script = publish.replace(".venv/bin/eventfeed", COMMAND).replace(".venv/bin/python", sys.executable)
        (output, _) = run_twice(service, "bash", "-euc", script.replace("http://127.0.0.1:8080", service.url))

    assert output.startswith("HTTP/1.1 201")
    assert '"duplicate":false' in output
