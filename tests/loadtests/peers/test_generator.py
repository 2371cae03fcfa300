"""The load generator as a process: its results, its errors, and the pause while followers are idle."""

from pathlib import Path

import pytest
from loadtests.peers.generator import GeneratorError, Opening, Publishing, Reading, Waking, apply_load, parse

from loadtests.peers import toolchain

TARGET = ("-system", "nats")


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a shell script that stands for the load generator."""
    monkeypatch.setattr(toolchain, "PROGRAMS", tmp_path)
    file = tmp_path / "load"
    file.touch(mode=0o755)
    return file


def test_result_of_each_command_is_parsed() -> None:
    """A line is one JSON object."""
    publishing = parse('{"events":500,"seconds":2.5,"p50":1,"p99":4.25}\n', Publishing)

    assert Publishing(500, 2.5, 1.0, 4.25) == publishing
    assert Reading(1_000, 0.5) == parse('{"events":1000,"seconds":0.5}', Reading)
    assert Waking([1.5, 2.0]) == parse('{"p99":[1.5,2]}', Waking)


@pytest.mark.parametrize("text", ["", "panic: nil\n", '{"events":1}', '{"events":"1","seconds":2}'])
def test_other_line_than_the_result_is_an_error(text: str) -> None:
    """The error has the line."""
    with pytest.raises(GeneratorError, match="the load generator printed"):
        parse(text, Reading)


def test_line_of_a_result_is_no_opening() -> None:
    """A command that does not wait for its caller is used by mistake."""
    with pytest.raises(GeneratorError):
        parse('{"events":1,"seconds":2}', Opening)


def test_arguments_name_the_system_the_load_and_the_command(script: Path) -> None:
    """Each option has its value, and every command has a time limit."""
    script.write_text('#!/bin/sh\necho "$@" > "$0.arguments"\necho \'{"events":8,"seconds":1}\'\n')
    result = apply_load(TARGET, "pages", result=Reading, count=8)

    assert Reading(8, 1.0) == result
    assert "-system nats -count 8 -limit 150.0 pages\n" == script.with_suffix(".arguments").read_text()


def test_failure_of_the_load_is_an_error_with_its_reason(script: Path) -> None:
    """The last line of the load generator is in the message."""
    script.write_text("#!/bin/sh\necho 'follower 7: the stream ended' >&2\nexit 1\n")

    with pytest.raises(GeneratorError, match="nats follow: follower 7: the stream ended"):
        apply_load(TARGET, "follow", result=Waking, between=lambda: None)


def test_load_waits_for_its_caller_after_the_followers_are_connected(script: Path) -> None:
    """The caller measures the memory of idle followers meanwhile."""
    calls = list[str]()
    script.write_text("#!/bin/sh\necho '{\"open\":3}'\nread line\necho '{\"p99\":[1]}'\n")
    result = apply_load(TARGET, "wake", result=Waking, between=lambda: calls.append("between"))

    assert Waking([1.0]) == result
    assert ["between"] == calls
