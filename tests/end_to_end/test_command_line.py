"""The command line against a real service: its output, its errors, and its recovery from interruptions."""

import gzip
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from tests.support.feeds import event_ids, read_app_feed
from tests.support.publishing import APP_PATH, PUBLISH_SCOPE, app_event, cloud_event
from tests.support.service import (
    COMMAND,
    RunningService,
    bearer,
    clean_environment,
    free_port,
    running_service,
    start,
    stop,
)
from tests.support.waiting import wait_until


def lines(app: str, count: int) -> bytes:
    """Return app events without ids, one a line."""
    return b"".join(json.dumps(app_event(app, data={"number": number})).encode() + b"\n" for number in range(count))


def parse(output: bytes) -> list[dict[str, str]]:
    """Return the events of an output."""
    return [json.loads(line) for line in output.splitlines()]


def start_command(service: RunningService, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command in the background."""
    return subprocess.Popen(
        [COMMAND, *arguments],
        cwd=service.folder,
        env=clean_environment(EVENTFEED_PUBLIC_URL=service.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_file_published_repeatedly_adds_its_events_once(service: RunningService, app: str, tmp_path: Path) -> None:
    """Events are in the order of the file. A gzipped or piped file with the same content counts as the same file."""
    text_file, gzip_file = tmp_path / "cases.ndjson", tmp_path / "cases.ndjson.gz"
    text_file.write_bytes(lines(app, 250))
    gzip_file.write_bytes(gzip.compress(text_file.read_bytes()))
    first = service.run_command("publish", str(text_file))
    gzip_repeat = service.run_command("publish", str(gzip_file))
    piped_repeat = service.run_command("publish", "-", stdin=text_file.read_bytes())
    events = parse(service.run_command("read", "app", f"ttd/{app}").stdout)

    assert (0, 0, 0) == (first.returncode, gzip_repeat.returncode, piped_repeat.returncode)
    assert b"published 250, duplicates 0, refused 0" in first.stdout
    assert b"published 0, duplicates 250, refused 0" in gzip_repeat.stdout
    assert b"published 0, duplicates 250, refused 0" in piped_repeat.stdout
    assert list(range(250)) == [event["data"]["number"] for event in events]  # type: ignore[index]  # an object


def test_equal_lines_of_different_files_are_different_events(service: RunningService, app: str) -> None:
    """An event is not dropped because it equals one of another file."""
    line = lines(app, 1)
    service.run_command("publish", "-", stdin=line)
    second = service.run_command("publish", "-", stdin=line + lines(app, 1))

    assert b"published 2, duplicates 0" in second.stdout


def test_publish_after_a_kill_continues(service: RunningService, app: str, tmp_path: Path) -> None:
    """After SIGKILL, a repeat of the command publishes every line once and in order."""
    file = tmp_path / "cases.ndjson"
    file.write_bytes(lines(app, 20_000))
    command = start_command(service, "publish", str(file))
    wait_until(lambda: event_ids(read_app_feed(service, app, "after=0&size=1")))
    command.kill()
    command.communicate()
    count = len(parse(service.run_command("read", "app", f"ttd/{app}", "--size", "1000").stdout))
    repeat = service.run_command("publish", str(file))
    events = parse(service.run_command("read", "app", f"ttd/{app}", "--size", "1000").stdout)

    assert 0 < count < 20_000
    assert f"duplicates {count}".encode() in repeat.stdout
    assert list(range(20_000)) == [event["data"]["number"] for event in events]  # type: ignore[index]  # an object


def test_invalid_lines_are_reported_and_the_others_published(service: RunningService, app: str) -> None:
    """Each invalid line is reported with its number and its faults, from client or service. The exit code is 1."""
    event = cloud_event(app)
    input_lines = [
        json.dumps(event),
        "nonsense",
        "",
        "[]",
        json.dumps({**event, "type": "changed"}),
        json.dumps(cloud_event(app, type="", specversion="2")),
        json.dumps(cloud_event(app, data="x" * 70_000)),
        json.dumps(cloud_event(app)),
    ]
    result = service.run_command("publish", "-", stdin="\n".join(input_lines).encode())
    errors = result.stderr.decode()

    assert 1 == result.returncode
    assert ["line 2:", "line 4:", "line 7:", "line 6:", "line 5:"] == [
        line.split(" ")[0] + " " + line.split(" ")[1] for line in errors.splitlines() if line.startswith("line")
    ]
    assert b"published 2, duplicates 0, refused 5" in result.stdout
    assert "Traceback" not in errors
    assert 2 == len(event_ids(read_app_feed(service, app, "after=0")))


def test_publish_without_the_scope_is_one_error(service: RunningService, app: str) -> None:
    """The message names the scope, and no line."""
    result = service.run_command("publish", "-", stdin=lines(app, 2), EVENTFEED_TOKEN=service.token("other"))

    assert 1 == result.returncode
    assert b"altinn:events.publish" in result.stderr


def test_publish_during_a_restart_of_the_service_continues(tmp_path: Path) -> None:
    """The command waits until the service responds again."""
    port = str(free_port())
    service = start(tmp_path / "service", EVENTFEED_PORT=port)
    file = tmp_path / "cases.ndjson"
    file.write_bytes(lines("a", 20_000))
    publishing = start_command(service, "publish", str(file))
    wait_until(lambda: event_ids(read_app_feed(service, "a", "after=0&size=1")))
    stop(service)
    service = start(tmp_path / "service", EVENTFEED_PORT=port)
    output, _ = publishing.communicate(timeout=300)
    events = parse(service.run_command("read", "app", "ttd/a", "--size", "1000").stdout)
    stop(service)

    assert 0 == publishing.returncode
    assert b"refused 0" in output
    assert list(range(20_000)) == [event["data"]["number"] for event in events]  # type: ignore[index]  # an object


@pytest.mark.parametrize("size", ["1", "7", "1000"])
def test_read_prints_one_event_a_line(service: RunningService, app: str, size: str) -> None:
    """This holds with filters by type, time and cursor, and for every page size."""
    events = [cloud_event(app, type=f"t{number % 2}") for number in range(20)]
    receipts = service.client.post(APP_PATH, json=events, headers=bearer(service.token(PUBLISH_SCOPE))).json()
    all_events = parse(service.run_command("read", "app", f"ttd/{app}", "--size", size).stdout)
    of_type = parse(service.run_command("read", "app", f"ttd/{app}", "--type", "t1", "--size", size).stdout)
    since = parse(service.run_command("read", "app", f"ttd/{app}", "--from", receipts[0]["time"]).stdout)
    after = parse(service.run_command("read", "app", f"ttd/{app}", "--after", receipts[4]["id"]).stdout)

    assert (
        [event["id"] for event in events] == [event["id"] for event in all_events] == [event["id"] for event in since]
    )
    assert [event["id"] for event in events[1::2]] == [event["id"] for event in of_type]
    assert [event["id"] for event in events[5:]] == [event["id"] for event in after]


def test_read_with_a_cursor_file_prints_only_new_events(service: RunningService, app: str, tmp_path: Path) -> None:
    """A second run prints the events after the first. A cursor file of another feed is refused."""
    cursor_file = str(tmp_path / "cursor_file")
    service.run_command("publish", "-", stdin=lines(app, 5))
    first = service.run_command("read", "app", f"ttd/{app}", "--cursor-file", cursor_file)
    nothing = service.run_command("read", "app", f"ttd/{app}", "--cursor-file", cursor_file)
    service.run_command("publish", "-", stdin=lines(app, 3))
    second = service.run_command("read", "app", f"ttd/{app}", "--cursor-file", cursor_file)
    other = service.run_command("read", "app", f"ttd/{app}", "--cursor-file", cursor_file, "--type", "t")

    assert [5, 0, 3] == [len(parse(run.stdout)) for run in (first, nothing, second)]
    assert 1 == other.returncode
    assert b"another feed" in other.stderr


def test_output_of_another_cursor_file_stays_unchanged(service: RunningService, app: str, tmp_path: Path) -> None:
    """The command truncates only the file whose length is in the cursor file."""
    service.run_command("publish", "-", stdin=lines(app, 5))
    cursor_file, mine, other = (str(tmp_path / name) for name in ("cursor_file", "mine", "other"))
    Path(other).write_text("precious\n" * 10)
    arguments = ["read", "app", f"ttd/{app}", "--cursor-file", cursor_file]
    service.run_command(*arguments, "--output", mine)
    wrong = service.run_command(*arguments, "--output", other)
    (tmp_path / "cursor_file").unlink()
    service.run_command(*arguments)
    after_pipe = service.run_command(*arguments, "--output", mine)

    assert [1, 1] == [wrong.returncode, after_pipe.returncode]
    assert "precious\n" * 10 == Path(other).read_text()
    assert 5 == len(parse(Path(mine).read_bytes()))


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["read", "app", "ttd/a", "--url", "http://[::1"], {}),
        (["read", "app", "ttd/a", "--url", "nonsense"], {}),
        (["read", "app", "ttd/a"], {"EVENTFEED_TOKEN": "se cret"}),
        (["read", "app", "ttd/a"], {"EVENTFEED_TOKEN": "sæcret"}),
    ],
)
def test_invalid_address_or_token_ends_with_exit_code_2(
    service: RunningService, arguments: list[str], environment: dict[str, str]
) -> None:
    """The message does not contain the token."""
    result = service.run_command(*arguments, stdin=b"", **environment)

    assert 2 == result.returncode
    assert b"cret" not in result.stderr
    assert b"Traceback" not in result.stderr


def test_publish_of_a_damaged_gzip_is_an_error(service: RunningService, tmp_path: Path) -> None:
    """The message says that the file cannot be read."""
    gzip_bytes = gzip.compress(lines("a", 1000))
    (tmp_path / "torn.gz").write_bytes(gzip_bytes[:100] + b"\x00" * 50 + gzip_bytes[150:])
    result = service.run_command("publish", str(tmp_path / "torn.gz"))

    assert 1 == result.returncode
    assert b"cannot be read" in result.stderr
    assert b"Traceback" not in result.stderr


def test_proxy_of_the_environment_is_not_used_for_this_machine(tmp_path: Path) -> None:
    """The service connects to its own development issuer directly, and so does the command line."""
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    with running_service(tmp_path, **proxy) as service:
        result = service.run_command("scenarios", stdin=b"", **proxy)

    assert 0 == result.returncode, result.stderr


def test_invalid_cursor_file_is_an_error(service: RunningService, app: str, tmp_path: Path) -> None:
    """The command does not read from the beginning instead."""
    (tmp_path / "cursor_file").write_text("nonsense")
    result = service.run_command("read", "app", f"ttd/{app}", "--cursor-file", str(tmp_path / "cursor_file"))

    assert 1 == result.returncode
    assert b"is not a cursor file" in result.stderr


@pytest.fixture
def publishing(service: RunningService, app: str, tmp_path: Path) -> Iterator[None]:
    """Publish events in the background during a test."""
    file = tmp_path / "events.ndjson"
    file.write_bytes(lines(app, 30_000))
    command = start_command(service, "publish", str(file))
    yield
    command.communicate(timeout=300)


@pytest.mark.usefixtures("publishing")
def test_follower_that_is_killed_repeatedly_writes_every_event_once(
    service: RunningService, app: str, tmp_path: Path
) -> None:
    """After each SIGKILL, the command truncates the output file to its cursor file and continues."""
    cursor_file, output = tmp_path / "cursor_file", tmp_path / "output"
    arguments = ["read", "app", f"ttd/{app}", "--size", "37", "--cursor-file", str(cursor_file)]
    arguments += ["--output", str(output)]

    def size() -> int:
        return output.stat().st_size if cursor_file.exists() else 0

    for _ in range(6):
        follower = start_command(service, *arguments, "--follow")
        previous = size()
        wait_until(lambda previous=previous: size() != previous)  # type: ignore[misc]  # mypy infers no default
        time.sleep(0.1)
        follower.kill()
        follower.communicate()
    with output.open("ab") as file:
        file.write(b'{"an incomplete line')

    def read_to_the_end() -> bool:
        assert 0 == service.run_command(*arguments).returncode
        return output.read_bytes().count(b"\n") >= 30_000

    wait_until(read_to_the_end)

    events = parse(output.read_bytes())
    assert list(range(30_000)) == [event["data"]["number"] for event in events]  # type: ignore[index]  # an object


def test_pipe_of_a_killed_reader_gets_every_event_at_least_once(
    service: RunningService, app: str, tmp_path: Path
) -> None:
    """No event is missing after a restart, and `sequence` identifies duplicates."""
    service.run_command("publish", "-", stdin=lines(app, 2_000))
    output = b""
    arguments = ["read", "app", f"ttd/{app}", "--size", "10", "--cursor-file", str(tmp_path / "cursor_file")]
    for _ in range(3):
        follower = start_command(service, *arguments)
        assert follower.stdout is not None
        output += b"".join(follower.stdout.readline() for _ in range(155))
        follower.kill()
        # The complete lines in the pipe were printed; an incomplete one is printed again. (`communicate` would lose the
        # lines that `readline` has read ahead.)
        complete, newline, _ = follower.stdout.read().rpartition(b"\n")
        output += complete + newline
        follower.communicate()
    rest = service.run_command(*arguments)
    sequences = [event["sequence"] for event in parse(output) + parse(rest.stdout)]

    assert 2_000 == len(set(sequences))


def test_follow_prints_new_events_until_an_interrupt(service: RunningService, app: str) -> None:
    """The interrupt ends the command without a message (exit code 130)."""
    service.run_command("publish", "-", stdin=lines(app, 1))
    follower = start_command(service, "read", "app", f"ttd/{app}", "--follow")
    assert follower.stdout is not None
    first = follower.stdout.readline()
    service.run_command("publish", "-", stdin=lines(app, 1))
    second = follower.stdout.readline()
    follower.send_signal(2)
    _, errors = follower.communicate(timeout=300)

    assert 2 == len(parse(first + second))
    assert (130, b"") == (follower.returncode, errors)


def test_closed_pipe_ends_the_command_without_a_message(service: RunningService, app: str) -> None:
    """A pipe to `head` closes early."""
    service.run_command("publish", "-", stdin=lines(app, 3_000))
    command = start_command(service, "read", "app", f"ttd/{app}", "--size", "100")
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.readline()
    command.stdout.close()
    errors = command.stderr.read()
    command.wait(timeout=300)
    command.stderr.close()

    assert b"" == errors


def test_expired_cursor_is_an_error_with_the_next_step(tmp_path: Path) -> None:
    """The message contains the oldest cursor."""
    with running_service(tmp_path, EVENTFEED_RETENTION_DAYS=str(1 / 86_400)) as service:
        service.run_command("publish", "-", stdin=lines("a", 3))
        time.sleep(1.2)
        result = service.run_command("read", "app", "ttd/a", "--after", "1")

    assert 1 == result.returncode
    assert b"--after" in result.stderr


def test_token_is_printed_alone_on_stdout(service: RunningService) -> None:
    """The token is that of the issuer, or the platform token with `--exchange`."""
    arguments = ["token", "maskinporten", "--org-number", "991825827", "--scope", "altinn:events/ttd"]
    external = service.run_command(*arguments)
    platform_token = service.run_command(*arguments, "--exchange").stdout.decode().strip()
    wrong = service.run_command("token", "maskinporten", "--org-number", "12", "--scope", "x")

    assert 200 == service.exchange(external.stdout.decode().strip()).status_code
    assert 200 == service.client.get("/events/api/v1/head", headers=bearer(platform_token)).status_code
    assert (1, b"") == (wrong.returncode, wrong.stdout)
    assert b"9 digits" in wrong.stderr


def test_token_of_a_system_user_is_printed(service: RunningService) -> None:
    """Its organisation and its uuid belong together."""
    arguments = ["token", "maskinporten", "--org-number", "310000022", "--scope", "altinn:events", "--exchange"]
    arguments += ["--system-user", "7b2e0a4c-5d3f-4c66-9a51-9a0000000011"]
    token = service.run_command(*arguments, "--system-user-org", "310000011").stdout.decode().strip()
    incomplete = service.run_command(*arguments)
    wrong = service.run_command(*arguments, "--system-user-org", "12")
    empty = service.run_command(*arguments[:-1], "", "--system-user-org", "")
    claims = jwt.decode(token, options={"verify_signature": False})

    assert "7b2e0a4c-5d3f-4c66-9a51-9a0000000011" == claims["urn:altinn:systemuser:uuid"]
    assert (2, b"") == (incomplete.returncode, incomplete.stdout)
    assert b"--system-user-org" in incomplete.stderr
    assert (1, b"") == (wrong.returncode, wrong.stdout)
    assert b"9 digits" in wrong.stderr
    assert (2, b"") == (empty.returncode, empty.stdout)


def test_all_scenarios_pass_on_a_running_service(service: RunningService) -> None:
    """The command prints each step and the result of each scenario."""
    result = service.run_command("scenarios")

    assert 0 == result.returncode, result.stderr
    assert [b"S1", b"S2", b"S3", b"S4", b"S5"] == re.findall(rb"^S[0-9]", result.stdout, re.MULTILINE)
    assert 5 == result.stdout.count(b"passed")


@pytest.mark.parametrize(
    "arguments",
    [
        ["read", "app", "ttd/a"],
        ["publish", "-"],
        ["token", "maskinporten", "--org-number", "991825827", "--scope", "x"],
        ["scenarios"],
    ],
)
def test_address_without_a_service_is_an_error(tmp_path: Path, arguments: list[str]) -> None:
    """The error comes at once and names the next step."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [COMMAND, *arguments, "--url", url]
    event = b'{"specversion":"1.0","type":"t","source":"https://x/ttd/a"}'
    result = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), input=event, capture_output=True, timeout=300, check=False
    )

    assert 1 == result.returncode
    assert b"No service answers" in result.stderr
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["read", "app", "ttd"],
        ["read", "app", "ttd/a/b"],
        ["read", "app", "ttd/a", "--size", "0"],
        ["publish", "no-such-file"],
        ["nonsense"],
        ["token", "maskinporten"],
    ],
)
def test_invalid_arguments_end_with_exit_code_2(service: RunningService, arguments: list[str]) -> None:
    """The command sends no request."""
    result = service.run_command(*arguments)

    assert 2 == result.returncode
    assert b"Traceback" not in result.stderr


def test_settings_command_lists_every_setting_without_secrets(service: RunningService) -> None:
    """A setting has a name, value, default, unit and meaning."""
    output = service.run_command(
        "settings",
        EVENTFEED_TOKEN="very-secret",
        EVENTFEED_GATEWAY_SECRET="a-very-secret-secret",
        EVENTFEED_MASKINPORTEN_ISSUER="https://maskinporten.example.no/",
        EVENTFEED_MASKINPORTEN_AUDIENCES="x",
        EVENTFEED_REGISTER="x",
    ).stdout

    assert b"EVENTFEED_RETENTION_DAYS" in output
    assert b"days" in output
    assert b"very-secret" not in output


def test_old_cursors_are_refused_after_new_log(tmp_path: Path) -> None:
    """After a restore the log gets a new name, and the service refuses every older cursor."""
    with running_service(tmp_path) as service:
        service.run_command("publish", "-", stdin=lines("a", 3))
        cursor = read_app_feed(service, "a", "after=0").headers["feed-cursor"]
        name = service.run_command("store", "new-log", "--yes").stdout.decode().split()[6].rstrip(".")
        wait_until(lambda: read_app_feed(service, "a", f"after={cursor}").status_code == 410)
        old_page, new_page = read_app_feed(service, "a", f"after={cursor}"), read_app_feed(service, "a", "after=0")

    assert (410, "cursor-of-another-log") == (old_page.status_code, old_page.json()["code"])
    assert new_page.headers["feed-cursor"].startswith(f"{name}.3.")


@pytest.mark.parametrize(
    "arguments", [["audit"], ["store", "new-log"], ["store", "trim", "--before", "2026-01-01T00:00:00Z"]]
)
def test_missing_store_is_an_error_and_not_created(tmp_path: Path, arguments: list[str]) -> None:
    """The command creates no file in a wrong folder."""
    result = subprocess.run(
        [COMMAND, *arguments], cwd=tmp_path, env=clean_environment(), capture_output=True, timeout=300, check=False
    )

    assert (2, b"") == (result.returncode, result.stdout)
    assert b"There is no store at .eventfeed/log.db" in result.stderr
    assert [] == list(tmp_path.iterdir())
