"""The scenarios' page cannot lie: its requests are sent as they stand, and their answers are the ones it shows."""

import itertools
import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eventfeed.cli.options import population_here
from tests.support.service import COMMAND, clean_environment, serving

PAGE = (Path(__file__).parents[1] / "docs" / "scenarios.md").read_text()
ADDRESS = "http://127.0.0.1:8080"
STORE = "sqlite:///.eventfeed/scenarios/log.db"

FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
GUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
# An approval ends in 2099, always.
NOW = re.compile(r"\b(?!2099)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
TRACE = re.compile(r"\b[0-9a-f]{32}\b")
CURSOR = re.compile(r"feed-cursor: ([a-z0-9]{12})\.")
ADDRESSES = re.compile(r"(?:https?:/)?/[^\s'\"`<>|]+")


class Answer(NamedTuple):
    """What came back: status line and headers where they are shown, and the JSON values of the body."""

    head: Sequence[str]
    body: Sequence[object]


def parsed(text: str) -> Answer:
    """An answer from what a page shows or curl printed."""
    plain, head = text.replace("\r\n", "\n"), ""
    if plain.startswith("HTTP/"):
        head, _, plain = plain.partition("\n\n")
    return Answer(head.splitlines(), list(values(plain.strip())))


def values(text: str) -> Iterator[object]:
    """JSON values, one after the other."""
    while text:
        value, end = json.JSONDecoder().raw_decode(text)
        yield value
        text = text[end:].lstrip()


def as_shown(answer: Answer, shown: Answer) -> Answer:
    """An answer without the headers that the page does not show, in the page's order."""
    names = [line.partition(":")[0] for line in shown.head]
    return Answer([line for name in names for line in answer.head if line.partition(":")[0] == name], answer.body)


def settled(answers: Sequence[Answer]) -> str:
    """Answers without what differs each time. An id stays the same one wherever it comes again."""
    text = json.dumps(answers, indent=1)
    (log,) = set(CURSOR.findall(text))
    ids = {guid: f"id-{place}" for place, guid in enumerate(dict.fromkeys(GUID.findall(text)))}
    text = GUID.sub(lambda found: ids[found[0]], text)
    return TRACE.sub("trace", NOW.sub("now", text)).replace(log, "log")


def requests_and_answers() -> Iterator[tuple[str, str]]:
    """Each shell block of the page, and the answer shown after it ("" when there is none)."""
    blocks = [*FENCED.findall(PAGE), ("", "")]
    for (kind, text), (next_kind, next_text) in itertools.pairwise(blocks):
        if kind == "sh":
            yield text, next_text if next_kind in ("http", "json") else ""


def sections() -> Mapping[str, Sequence[str]]:
    """The kinds of blocks that each scenario has."""
    parts = re.split(r"^## (S\d): .*$|^## .*$", PAGE, flags=re.MULTILINE)[1:]
    return {
        name: [kind for kind, _ in FENCED.findall(text)]
        for name, text in zip(parts[::2], parts[1::2], strict=True)
        if name
    }


def test_every_answer_is_as_shown(tmp_path: Path) -> None:
    """The page pasted from its beginning to its end, in one shell, against a service with an empty log."""
    blocks, shown = zip(*requests_and_answers(), strict=True)
    with serving(tmp_path, EVENTFEED_STORE=STORE) as served:
        script = "printf '\\0'\n".join(blocks).replace(ADDRESS, served.url).replace(".venv/bin/eventfeed", COMMAND)
        ended = subprocess.run(
            ["bash", "-euc", script],
            cwd=tmp_path,
            env=clean_environment(EVENTFEED_PUBLIC_URL=served.url),
            capture_output=True,
            timeout=100,
            check=False,
        )
    printed = ended.stdout.decode().replace(served.url, ADDRESS).split("\0")
    expected = [parsed(text) for text in shown]
    actual = [as_shown(parsed(text), answer) for text, answer in zip(printed, expected, strict=True)]

    assert (0, b"") == (ended.returncode, ended.stderr)
    assert settled(expected) == settled(actual)


def test_every_scenario_is_drawn_asked_and_answered() -> None:
    """One diagram each, at least one request, at least one answer; and all five are there."""
    lacking = {
        name: kinds
        for name, kinds in sections().items()
        if kinds.count("mermaid") != 1 or "sh" not in kinds or not {"http", "json"} & set(kinds)
    }

    assert {} == lacking
    assert ["S1", "S2", "S3", "S4", "S5"] == list(sections())


def test_diagrams_name_whom_they_introduce() -> None:
    """An arrow goes between participants, all of them take part, and a short name means the same in every diagram."""
    meanings = set[tuple[str, str]]()
    for text in (text for kind, text in FENCED.findall(PAGE) if kind == "mermaid"):
        introduced = re.findall(r"^ +participant (\w+)(?: as (.+))?$", text, re.MULTILINE)
        arrows = re.findall(r"^ +(\w+)--?>>(\w+): ", text, re.MULTILINE)
        meanings |= set(introduced)

        assert {name for name, _ in introduced} == {name for arrow in arrows for name in arrow}

    assert len(dict(meanings)) == len(meanings)


def test_no_person_number_stands_in_an_address() -> None:
    """Addresses are logged on the way; none on the page holds the number of anyone in the register."""
    numbers = {person.number for person in population_here().people}
    addresses = ADDRESSES.findall(PAGE)

    assert len(numbers) > 1
    assert any(address.startswith(ADDRESS) for address in addresses)
    assert [] == [address for address in addresses if any(number in address for number in numbers)]
