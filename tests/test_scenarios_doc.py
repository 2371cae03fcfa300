"""The scenarios page: its requests are executed, and the responses must equal those on the page."""

import itertools
import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eventfeed.cli.options import population_here
from tests.support.service import COMMAND, clean_environment, running_service

PAGE = (Path(__file__).parents[1] / "docs" / "scenarios.md").read_text()
ADDRESS = "http://127.0.0.1:8080"
STORE = "sqlite:///.eventfeed/scenarios/log.db"

CODE_BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
GUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
# The approval on the page always ends in 2099.
NOW = re.compile(r"\b(?!2099)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
TRACE = re.compile(r"\b[0-9a-f]{32}\b")
CURSOR = re.compile(r"feed-cursor: ([a-z0-9]{12})\.")
PROOF = re.compile(r"(?<=\blog)(\.\d+)\.[a-z2-7]{6}\b")
URLS = re.compile(r"(?:https?:/)?/[^\s'\"`<>|]+")


class Response(NamedTuple):
    """A response: its status line and headers, if they are on the page, and the JSON values of the body."""

    head: Sequence[str]
    body: Sequence[object]


def parse_response(text: str) -> Response:
    """Parse a response as the page shows it or curl prints it."""
    plain, head = text.replace("\r\n", "\n"), ""
    if plain.startswith("HTTP/"):
        head, _, plain = plain.partition("\n\n")
    return Response(head.splitlines(), list(values(plain.strip())))


def values(text: str) -> Iterator[object]:
    """Yield the JSON values of a text, one after the other."""
    while text:
        value, end = json.JSONDecoder().raw_decode(text)
        yield value
        text = text[end:].lstrip()


def with_headers_of(response: Response, page_response: Response) -> Response:
    """A response with only the headers that the page shows, in the order of the page."""
    names = [line.partition(":")[0] for line in page_response.head]
    return Response([line for name in names for line in response.head if line.partition(":")[0] == name], response.body)


def normalise(responses: Sequence[Response]) -> str:
    """Replace the values that differ each time. The same id gets the same replacement everywhere."""
    text = json.dumps(responses, indent=1)
    (log,) = set(CURSOR.findall(text))
    ids = {guid: f"id-{index}" for index, guid in enumerate(dict.fromkeys(GUID.findall(text)))}
    text = GUID.sub(lambda match: ids[match[0]], text)
    return PROOF.sub(r"\1.proof", TRACE.sub("trace", NOW.sub("now", text)).replace(log, "log"))


def requests_and_responses() -> Iterator[tuple[str, str]]:
    """Each shell block of the page, with the response after it, "" if there is none."""
    blocks = [*CODE_BLOCKS.findall(PAGE), ("", "")]
    for (kind, text), (next_kind, next_text) in itertools.pairwise(blocks):
        if kind == "sh":
            yield text, next_text if next_kind in ("http", "json") else ""


def sections() -> Mapping[str, Sequence[str]]:
    """The kinds of blocks of each scenario."""
    parts = re.split(r"^## (S\d): .*$|^## .*$", PAGE, flags=re.MULTILINE)[1:]
    return {
        name: [kind for kind, _ in CODE_BLOCKS.findall(text)]
        for name, text in zip(parts[::2], parts[1::2], strict=True)
        if name
    }


def test_every_response_on_the_page_is_correct(tmp_path: Path) -> None:
    """The whole page runs in one shell, against a service with an empty log."""
    blocks, texts = zip(*requests_and_responses(), strict=True)
    with running_service(tmp_path, EVENTFEED_STORE=STORE) as service:
        script = "printf '\\0'\n".join(blocks).replace(ADDRESS, service.url).replace(".venv/bin/eventfeed", COMMAND)
        process = subprocess.run(
            ["bash", "-euc", script],
            cwd=tmp_path,
            env=clean_environment(EVENTFEED_PUBLIC_URL=service.url),
            capture_output=True,
            timeout=600,
            check=False,
        )
    outputs = process.stdout.decode().replace(service.url, ADDRESS).split("\0")
    page_responses = [parse_response(text) for text in texts]
    actual = [
        with_headers_of(parse_response(text), response) for text, response in zip(outputs, page_responses, strict=True)
    ]

    assert (0, b"") == (process.returncode, process.stderr)
    assert normalise(page_responses) == normalise(actual)


def test_every_scenario_has_a_diagram_requests_and_responses() -> None:
    """There are five scenarios, with one diagram each."""
    incomplete = {
        name: kinds
        for name, kinds in sections().items()
        if kinds.count("mermaid") != 1 or "sh" not in kinds or not {"http", "json"} & set(kinds)
    }

    assert {} == incomplete
    assert ["S1", "S2", "S3", "S4", "S5"] == list(sections())


def test_diagrams_use_the_participants_they_declare() -> None:
    """Arrows connect declared participants, and a short name means the same in every diagram."""
    meanings = set[tuple[str, str]]()
    for text in (text for kind, text in CODE_BLOCKS.findall(PAGE) if kind == "mermaid"):
        participants = re.findall(r"^ +participant (\w+)(?: as (.+))?$", text, re.MULTILINE)
        arrows = re.findall(r"^ +(\w+)--?>>(\w+): ", text, re.MULTILINE)
        meanings |= set(participants)

        assert {name for name, _ in participants} == {name for arrow in arrows for name in arrow}

    assert len(dict(meanings)) == len(meanings)


def test_no_url_on_the_page_contains_a_person_number() -> None:
    """Proxies and servers write URLs to their logs."""
    numbers = {person.number for person in population_here().people}
    urls = URLS.findall(PAGE)

    assert len(numbers) > 1
    assert any(url.startswith(ADDRESS) for url in urls)
    assert [] == [url for url in urls if any(number in url for number in numbers)]
