"""The command line against a real service: what it prints, what it survives, what it says when it cannot."""

import gzip
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.test_app_feed import ids, read
from tests.end_to_end.test_publishing import APP, PUBLISH, app_event, cloud_event
from tests.support.service import COMMAND, Served, bearer, clean_environment, free_port, serving, start, stop


def lines(app: str, count: int) -> bytes:
    """App events without ids, a line each."""
    return b"".join(json.dumps(app_event(app, data={"number": number})).encode() + b"\n" for number in range(count))


def printed(output: bytes) -> list[dict[str, str]]:
    """The events of an output."""
    return [json.loads(line) for line in output.splitlines()]


def begin(served: Served, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command that goes on."""
    return subprocess.Popen(
        [COMMAND, *arguments],
        cwd=served.folder,
        env=clean_environment(EVENTFEED_PUBLIC_URL=served.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_file_is_published_once_however_often(served: Served, app: str, tmp_path: Path) -> None:
    """In the order of the file; a repeat adds nothing and says so; zipped or piped it is the same file."""
    plain, zipped = tmp_path / "cases.ndjson", tmp_path / "cases.ndjson.gz"
    plain.write_bytes(lines(app, 250))
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    first = served.command("publish", str(plain))
    again = served.command("publish", str(zipped))
    piped = served.command("publish", "-", stdin=plain.read_bytes())
    events = printed(served.command("read", "app", f"ttd/{app}").stdout)

    assert (0, 0, 0) == (first.returncode, again.returncode, piped.returncode)
    assert b"published 250, duplicates 0, refused 0" in first.stdout
    assert b"published 0, duplicates 250, refused 0" in again.stdout
    assert b"published 0, duplicates 250, refused 0" in piped.stdout
    assert list(range(250)) == [event["data"]["number"] for event in events]  # type: ignore[index]  # an object


def test_another_file_is_another_set_of_events(served: Served, app: str) -> None:
    """Equal lines of different files are different events: nothing is lost to a likeness."""
    shared = lines(app, 1)
    served.command("publish", "-", stdin=shared)
    second = served.command("publish", "-", stdin=shared + lines(app, 1))

    assert b"published 2, duplicates 0" in second.stdout


def test_a_publish_killed_in_the_middle_goes_on(served: Served, app: str, tmp_path: Path) -> None:
    """Kill -9, then the same command: every line is in, once, in order."""
    file = tmp_path / "cases.ndjson"
    file.write_bytes(lines(app, 20_000))
    killed = begin(served, "publish", str(file))
    while not ids(read(served, app, "after=0&size=1")):
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    between = len(printed(served.command("read", "app", f"ttd/{app}", "--size", "1000").stdout))
    again = served.command("publish", str(file))
    events = printed(served.command("read", "app", f"ttd/{app}", "--size", "1000").stdout)

    assert 0 < between < 20_000
    assert f"duplicates {between}".encode() in again.stdout
    assert list(range(20_000)) == [event["data"]["number"] for event in events]  # type: ignore[index]  # an object


def test_bad_lines_are_named_and_nothing_after_them_is_lost(served: Served, app: str) -> None:
    """Each by its number and reason, whoever found it wrong; exit code 1."""
    event = cloud_event(app)
    bad = [
        json.dumps(event),
        "nonsense",
        "",
        "[]",
        json.dumps({**event, "type": "changed"}),
        json.dumps(cloud_event(app, type="", specversion="2")),
        json.dumps(cloud_event(app, data="x" * 70_000)),
        json.dumps(cloud_event(app)),
    ]
    ended = served.command("publish", "-", stdin="\n".join(bad).encode())
    told = ended.stderr.decode()

    assert 1 == ended.returncode
    assert ["line 2:", "line 4:", "line 7:", "line 6:", "line 5:"] == [
        line.split(" ")[0] + " " + line.split(" ")[1] for line in told.splitlines() if line.startswith("line")
    ]
    assert b"published 2, duplicates 0, refused 5" in ended.stdout
    assert "Traceback" not in told
    assert 2 == len(ids(read(served, app, "after=0")))


def test_what_may_not_be_published_is_told(served: Served, app: str) -> None:
    """A given token without the scope is a plain error, not a list of bad lines."""
    ended = served.command("publish", "-", stdin=lines(app, 2), EVENTFEED_TOKEN=served.token("other"))

    assert 1 == ended.returncode
    assert b"altinn:events.publish" in ended.stderr


def test_publishing_survives_a_restart_of_the_service(tmp_path: Path) -> None:
    """While the service is away it waits and goes on."""
    port = str(free_port())
    served = start(tmp_path / "service", EVENTFEED_PORT=port)
    file = tmp_path / "cases.ndjson"
    file.write_bytes(lines("a", 20_000))
    publishing = begin(served, "publish", str(file))
    while not ids(read(served, "a", "after=0&size=1")):
        time.sleep(0.01)
    stop(served)
    served = start(tmp_path / "service", EVENTFEED_PORT=port)
    told, _ = publishing.communicate(timeout=60)
    events = printed(served.command("read", "app", "ttd/a", "--size", "1000").stdout)
    stop(served)

    assert 0 == publishing.returncode
    assert b"refused 0" in told
    assert list(range(20_000)) == [event["data"]["number"] for event in events]  # type: ignore[index]  # an object


@pytest.mark.parametrize("size", ["1", "7", "1000"])
def test_reading_gives_the_feed_a_line_an_event(served: Served, app: str, size: str) -> None:
    """Types, sizes, times and cursors do what they say."""
    events = [cloud_event(app, type=f"t{number % 2}") for number in range(20)]
    receipts = served.client.post(APP, json=events, headers=bearer(served.token(PUBLISH))).json()
    every = printed(served.command("read", "app", f"ttd/{app}", "--size", size).stdout)
    of_type = printed(served.command("read", "app", f"ttd/{app}", "--type", "t1", "--size", size).stdout)
    since = printed(served.command("read", "app", f"ttd/{app}", "--from", receipts[0]["time"]).stdout)
    after = printed(served.command("read", "app", f"ttd/{app}", "--after", receipts[4]["id"]).stdout)

    assert [event["id"] for event in events] == [event["id"] for event in every] == [event["id"] for event in since]
    assert [event["id"] for event in events[1::2]] == [event["id"] for event in of_type]
    assert [event["id"] for event in events[5:]] == [event["id"] for event in after]


def test_a_cursor_file_goes_on_where_it_stopped(served: Served, app: str, tmp_path: Path) -> None:
    """A second run gives only what is new; the file of another feed is refused."""
    place = str(tmp_path / "place")
    served.command("publish", "-", stdin=lines(app, 5))
    first = served.command("read", "app", f"ttd/{app}", "--cursor-file", place)
    nothing = served.command("read", "app", f"ttd/{app}", "--cursor-file", place)
    served.command("publish", "-", stdin=lines(app, 3))
    second = served.command("read", "app", f"ttd/{app}", "--cursor-file", place)
    other = served.command("read", "app", f"ttd/{app}", "--cursor-file", place, "--type", "t")

    assert [5, 0, 3] == [len(printed(run.stdout)) for run in (first, nothing, second)]
    assert 1 == other.returncode
    assert b"another feed" in other.stderr


def test_an_output_that_is_not_the_cursor_files_is_left_alone(served: Served, app: str, tmp_path: Path) -> None:
    """Cut back is only the very file whose length was kept."""
    served.command("publish", "-", stdin=lines(app, 5))
    place, mine, other = (str(tmp_path / name) for name in ("place", "mine", "other"))
    Path(other).write_text("precious\n" * 10)
    arguments = ["read", "app", f"ttd/{app}", "--cursor-file", place]
    served.command(*arguments, "--output", mine)
    wrong = served.command(*arguments, "--output", other)
    (tmp_path / "place").unlink()
    served.command(*arguments)
    after_pipe = served.command(*arguments, "--output", mine)

    assert [1, 1] == [wrong.returncode, after_pipe.returncode]
    assert "precious\n" * 10 == Path(other).read_text()
    assert 5 == len(printed(Path(mine).read_bytes()))


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["read", "app", "ttd/a", "--url", "http://[::1"], {}),
        (["read", "app", "ttd/a", "--url", "nonsense"], {}),
        (["read", "app", "ttd/a"], {"EVENTFEED_TOKEN": "se cret"}),
        (["read", "app", "ttd/a"], {"EVENTFEED_TOKEN": "sæcret"}),
    ],
)
def test_a_wrong_address_or_token_is_told(served: Served, arguments: list[str], environment: dict[str, str]) -> None:
    """Exit code 2, and the token is not repeated."""
    ended = served.command(*arguments, stdin=b"", **environment)

    assert 2 == ended.returncode
    assert b"cret" not in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_a_torn_file_is_told(served: Served, tmp_path: Path) -> None:
    """A gzip that cannot be unpacked."""
    whole = gzip.compress(lines("a", 1000))
    (tmp_path / "torn.gz").write_bytes(whole[:100] + b"\x00" * 50 + whole[150:])
    ended = served.command("publish", str(tmp_path / "torn.gz"))

    assert 1 == ended.returncode
    assert b"cannot be read" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(tmp_path: Path) -> None:
    """Neither by the service that looks up its own development keys, nor by the command line."""
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    with serving(tmp_path, **proxy) as served:
        walked = served.command("scenarios", stdin=b"", **proxy)

    assert 0 == walked.returncode, walked.stderr


def test_a_broken_cursor_file_is_told(served: Served, app: str, tmp_path: Path) -> None:
    """Not taken for the beginning."""
    (tmp_path / "place").write_text("nonsense")
    ended = served.command("read", "app", f"ttd/{app}", "--cursor-file", str(tmp_path / "place"))

    assert 1 == ended.returncode
    assert b"no cursor file" in ended.stderr


@pytest.fixture
def publishing(served: Served, app: str, tmp_path: Path) -> Iterator[None]:
    """Events coming in while a test goes on."""
    file = tmp_path / "coming.ndjson"
    file.write_bytes(lines(app, 30_000))
    coming = begin(served, "publish", str(file))
    yield
    coming.communicate(timeout=60)


@pytest.mark.usefixtures("publishing")
def test_a_follower_killed_again_and_again_loses_and_doubles_nothing(served: Served, app: str, tmp_path: Path) -> None:
    """With a cursor file and an output file: after each kill -9 it cuts back and goes on; all is there once."""
    place, output = tmp_path / "place", tmp_path / "output"
    arguments = ["read", "app", f"ttd/{app}", "--size", "37", "--cursor-file", str(place), "--output", str(output)]
    for _ in range(6):
        follower = begin(served, *arguments, "--follow")
        before = output.stat().st_size if output.exists() else 0
        while not place.exists() or output.stat().st_size == before:
            time.sleep(0.01)
        time.sleep(0.1)
        follower.kill()
        follower.communicate()
    with output.open("ab") as torn:
        torn.write(b'{"a line that was never finished')
    deadline = time.monotonic() + 60
    while len(seen := printed(_finished(served, arguments, output))) < 30_000 and time.monotonic() < deadline:
        time.sleep(0.5)

    assert list(range(30_000)) == [event["data"]["number"] for event in seen]  # type: ignore[index]  # an object


def _finished(served: Served, arguments: list[str], output: Path) -> bytes:
    """The output after a run that ends by itself."""
    assert 0 == served.command(*arguments).returncode
    return output.read_bytes()


def test_a_pipe_gets_everything_at_least_once(served: Served, app: str, tmp_path: Path) -> None:
    """A follower on a pipe is killed and started again: nothing is missing, and `sequence` tells doubles."""
    served.command("publish", "-", stdin=lines(app, 2_000))
    seen = b""
    arguments = ["read", "app", f"ttd/{app}", "--size", "10", "--cursor-file", str(tmp_path / "place")]
    for _ in range(3):
        follower = begin(served, *arguments)
        assert follower.stdout is not None
        seen += b"".join(follower.stdout.readline() for _ in range(155))
        follower.kill()
        # What stands in the pipe has been given out; a line that was cut off comes again. (`communicate` would read the
        # pipe behind the back of the lines read ahead, and lose them.)
        whole, newline, _ = follower.stdout.read().rpartition(b"\n")
        seen += whole + newline
        follower.communicate()
    rest = served.command(*arguments)
    sequences = [event["sequence"] for event in printed(seen) + printed(rest.stdout)]

    assert 2_000 == len(set(sequences))


def test_following_shows_what_comes(served: Served, app: str) -> None:
    """--follow stays on; interrupted, it ends quietly."""
    served.command("publish", "-", stdin=lines(app, 1))
    follower = begin(served, "read", "app", f"ttd/{app}", "--follow")
    assert follower.stdout is not None
    first = follower.stdout.readline()
    served.command("publish", "-", stdin=lines(app, 1))
    second = follower.stdout.readline()
    follower.send_signal(2)
    _, told = follower.communicate(timeout=10)

    assert 2 == len(printed(first + second))
    assert (130, b"") == (follower.returncode, told)


def test_a_reader_that_has_gone_ends_the_command_quietly(served: Served, app: str) -> None:
    """As `| head` does."""
    served.command("publish", "-", stdin=lines(app, 3_000))
    reading = begin(served, "read", "app", f"ttd/{app}", "--size", "100")
    assert reading.stdout is not None
    assert reading.stderr is not None
    reading.stdout.readline()
    reading.stdout.close()
    told = reading.stderr.read()
    reading.wait(timeout=20)
    reading.stderr.close()

    assert b"" == told


def test_an_expired_cursor_is_told_with_what_to_do(tmp_path: Path) -> None:
    """The oldest cursor stands in the message."""
    with serving(tmp_path, EVENTFEED_RETENTION_DAYS=str(1 / 86_400)) as served:
        served.command("publish", "-", stdin=lines("a", 3))
        time.sleep(1.2)
        ended = served.command("read", "app", "ttd/a", "--after", "1")

    assert 1 == ended.returncode
    assert b"--after" in ended.stderr


def test_a_token_is_alone_on_stdout(served: Served) -> None:
    """Of the issuer, or exchanged; ready for a header."""
    arguments = ["token", "maskinporten", "--org-number", "991825827", "--scope", "altinn:events/ttd"]
    external = served.command(*arguments)
    exchanged = served.command(*arguments, "--exchange").stdout.decode().strip()
    wrong = served.command("token", "maskinporten", "--org-number", "12", "--scope", "x")

    assert 200 == served.exchanged(external.stdout.decode().strip()).status_code
    assert 200 == served.client.get("/events/api/v1/head", headers=bearer(exchanged)).status_code
    assert (1, b"") == (wrong.returncode, wrong.stdout)
    assert b"9 digits" in wrong.stderr


def test_the_scenarios_pass(served: Served) -> None:
    """Each step is told, and every scenario passes."""
    walked = served.command("scenarios")

    assert 0 == walked.returncode, walked.stderr
    assert b"S1" in walked.stdout
    assert b"passed" in walked.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["read", "app", "ttd/a"],
        ["publish", "-"],
        ["token", "maskinporten", "--org-number", "991825827", "--scope", "x"],
        ["scenarios"],
    ],
)
def test_no_service_is_a_plain_error(tmp_path: Path, arguments: list[str]) -> None:
    """With what to do about it, at once."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [COMMAND, *arguments, "--url", url]
    event = b'{"specversion":"1.0","type":"t","source":"https://x/ttd/a"}'
    ended = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), input=event, capture_output=True, timeout=20, check=False
    )

    assert 1 == ended.returncode
    assert b"No service answers" in ended.stderr
    assert b"Traceback" not in ended.stderr


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
def test_wrong_words_are_told(served: Served, arguments: list[str]) -> None:
    """Exit code 2, before anything is asked."""
    ended = served.command(*arguments)

    assert 2 == ended.returncode
    assert b"Traceback" not in ended.stderr


def test_every_setting_is_listed_and_secrets_are_not(served: Served) -> None:
    """Name, value, default, unit, meaning."""
    listed = served.command(
        "settings",
        EVENTFEED_TOKEN="very-secret",
        EVENTFEED_GATEWAY_SECRET="a-very-secret-secret",
        EVENTFEED_MASKINPORTEN_ISSUER="https://maskinporten.example.no/",
        EVENTFEED_MASKINPORTEN_AUDIENCES="x",
        EVENTFEED_REGISTER="x",
    ).stdout

    assert b"EVENTFEED_RETENTION_DAYS" in listed
    assert b"days" in listed
    assert b"very-secret" not in listed


def test_a_new_log_refuses_old_cursors(tmp_path: Path) -> None:
    """After a restore the log gets a new name, and every cursor given out before is refused, at once."""
    with serving(tmp_path) as served:
        served.command("publish", "-", stdin=lines("a", 3))
        cursor = read(served, "a", "after=0").headers["feed-cursor"]
        name = served.command("store", "new-log").stdout.decode().strip()
        time.sleep(0.15)
        old, fresh = read(served, "a", f"after={cursor}"), read(served, "a", "after=0")

    assert (410, "cursor-of-another-log") == (old.status_code, old.json()["code"])
    assert f"{name}.3" == fresh.headers["feed-cursor"]


@pytest.mark.parametrize("arguments", [["audit"], ["store", "new-log"]])
def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, arguments: list[str]) -> None:
    """In the wrong folder a plain error, and nothing is left behind."""
    ended = subprocess.run(
        [COMMAND, *arguments], cwd=tmp_path, env=clean_environment(), capture_output=True, timeout=20, check=False
    )

    assert (2, b"") == (ended.returncode, ended.stdout)
    assert b"There is no store at .eventfeed/log.db" in ended.stderr
    assert [] == list(tmp_path.iterdir())
