"""Stand-ins of `pulumi` and `az` for the shell scripts: each command reads and changes one file of state.

The state has the stack's outputs, the images of its registry by name with their digests, and every command line.
"""

import hashlib
import itertools
import json
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

State = dict[str, Any]
_STATE = "STAND_IN_STATE"


class CommandError(Exception):
    """The command fails; the message is what it prints."""


def install(folder: Path, state: State) -> None:
    """Write the commands and their state into a folder."""
    for name in ("az", "pulumi"):
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{__file__}" {name} "$@"\n')
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    (folder / "state.json").write_text(json.dumps({"lines": [], **state}))


def environment(folder: Path) -> Mapping[str, str]:
    """Return the environment in which a script finds the commands in the folder."""
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", _STATE: str(folder / "state.json")}


def read_state(folder: Path) -> State:
    """Return the state that the commands left."""
    state: State = json.loads((folder / "state.json").read_text())
    return state


def run(state: State, line: Sequence[str]) -> str:
    """Run a command line and return its output. Raises `CommandError`."""
    state["lines"].append(" ".join(line))
    words = [word for word in line if not word.startswith("-")]
    for length in range(4, 1, -1):
        if command := _COMMANDS.get(" ".join(words[:length])):
            return command(state, _options(line))
    raise CommandError(f"no such command: {' '.join(line)}")


def _options(line: Sequence[str]) -> Mapping[str, str]:
    return {name: value for name, value in itertools.pairwise(line) if name.startswith("--")}


def _stack_output(state: State, _: Mapping[str, str]) -> str:
    name = state["lines"][-1].split()[3]
    return str(state["outputs"][name])


def _show_image(state: State, options: Mapping[str, str]) -> str:
    if options["--image"] not in state["images"]:
        raise CommandError(f"{options['--image']}: not found")
    return str(state["images"][options["--image"]])


def _import_image(state: State, options: Mapping[str, str]) -> str:
    state["images"][options["--image"]] = _digest(options["--source"])
    return ""


def _build_image(state: State, options: Mapping[str, str]) -> str:
    # https://github.com/Azure-Samples/azure-search-openai-demo/issues/3101
    base = options["--build-arg"].removeprefix("BASE=").removeprefix(f"{state['outputs']['registry']}/")
    if base.partition("@")[2] not in state["images"].values():
        raise CommandError(f"toomanyrequests: {base} is not in the registry")
    state["images"][options["--image"]] = _digest(options["--image"])
    return "The registry's log of the build"


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


_COMMANDS: Mapping[str, Callable[[State, Mapping[str, str]], str]] = {
    "pulumi stack output": _stack_output,
    "az acr repository show": _show_image,
    "az acr import": _import_image,
    "az acr build": _build_image,
}


def main() -> None:
    """Run the command line of this process, and print its output or its error."""
    file = Path(os.environ[_STATE])
    state: State = json.loads(file.read_text())
    try:
        output = run(state, sys.argv[1:])
    except CommandError as error:
        sys.exit(str(error))
    finally:
        file.write_text(json.dumps(state))
    sys.stdout.write(f"{output}\n" if output else "")


if __name__ == "__main__":
    main()
