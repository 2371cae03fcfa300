"""`eventfeed completion`: the scripts of the shells, and what they complete."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.service import COMMAND, COMMAND_SECONDS_MAX, clean_environment

# Completes the words after the script, as bash does at a tab.
BASH = """
source <("$0" completion bash)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
_eventfeed_completion "$0"
printf '%s\\n' "${COMPREPLY[@]}"
"""
# Each shell sends the last word in another way.
WORDS = {
    "zsh": {"COMP_WORDS": "eventfeed store tr", "COMP_CWORD": "2"},
    "fish": {"COMP_WORDS": "eventfeed store tr", "COMP_CWORD": "tr"},
}


def output(*command: str, **environment: str) -> str:
    """Return the output of a command that succeeds and prints no message."""
    result = subprocess.run(
        command,
        env=clean_environment(PATH=os.environ["PATH"], **environment),
        capture_output=True,
        timeout=COMMAND_SECONDS_MAX,
        check=True,
        text=True,
    )
    assert not result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["st"], ["store"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["store", "t"], ["trim"]),
        (["read", "app", "ttd/bolig", "--cur"], ["--cursor-file"]),
        (["read", "app", "ttd/bolig", "--from", '""', "--cur"], ["--cursor-file"]),
    ],
)
def test_bash_completes_commands_and_options(words: list[str], completions: list[str]) -> None:
    """The script runs the program for each tab, also if the value of an option is empty."""
    assert completions == output("bash", "-c", BASH, COMMAND, "eventfeed", *words).split()


@pytest.mark.parametrize("shell", WORDS)
def test_script_of_another_shell_asks_the_program(shell: str) -> None:
    """The script names the variable that makes the program print completions instead of a command's output."""
    variable = f"_EVENTFEED_COMPLETE={shell}_complete"

    assert variable in output(COMMAND, "completion", shell)
    assert "trim" in output(COMMAND, _EVENTFEED_COMPLETE=f"{shell}_complete", **WORDS[shell])


def test_unknown_shell_is_refused(tmp_path: Path) -> None:
    """The message names the shells."""
    result = subprocess.run(
        [COMMAND, "completion", "tcsh"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )

    assert 2 == result.returncode
    assert b"'bash', 'zsh', 'fish'" in result.stderr
