"""Stand-ins of the commands that the shell scripts use: each one reads and changes one file of state.

The state has the stack's outputs, the images of its registry by name with their digests, the revisions of the app, and
every command line. A revision has a list of states of health: each question takes the next one, and the last one stays.
`errors` has shares of 1,000 responses that are errors (%), taken in the same way, and `responses` another number of
responses. `failing` has parts of command lines, and how often a command with one of them fails.
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
    for name in ("az", "curl", "make", "pulumi"):
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{__file__}" {name} "$@"\n')
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
    for part, times in state.get("failing", {}).items():
        if part in state["lines"][-1] and times:
            state["failing"][part] -= 1
            raise CommandError("ERROR: the command failed")
    words = [word for word in line if not word.startswith("-")]
    for length in range(4, 0, -1):
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


def _up(state: State, _: Mapping[str, str]) -> str:
    """Create a revision for a new image, and set the weights as the program does."""
    line = state["lines"][-1].split()
    settings = dict(word.removeprefix("eventfeed:").split("=", 1) for word in line if word.startswith("eventfeed:"))
    revisions = state["revisions"]
    if not revisions or revisions[-1]["image"] != settings["image"]:
        name = f"eventfeed--{len(revisions) + 1}"
        revisions.append({"name": name, "image": settings["image"], "health": list(state["health"]), "is_active": True})
    newest_weight = int(settings["newestWeight"])
    for each in revisions:
        each["weight"] = 100 - newest_weight if each["name"] == settings["stableRevision"] else 0
        each["label"] = "stable" if each["name"] == settings["stableRevision"] else ""
    revisions[-1]["weight"] = newest_weight
    state["weights"].append(newest_weight)
    state["outputs"]["revision"] = revisions[-1]["name"]
    return ""


def _list_apps(state: State, _: Mapping[str, str]) -> str:
    return "/subscriptions/1/containerapps/eventfeed" if state["revisions"] else ""


def _stable_revision(state: State, _: Mapping[str, str]) -> str:
    return "\n".join(each["name"] for each in state["revisions"] if each.get("label") == "stable")


def _count_responses(state: State, options: Mapping[str, str]) -> str:
    """Return the number of responses, of which the next share is errors."""
    if "5xx" not in options["--filter"]:
        return str(state.get("responses", 1000.0))
    shares = state.get("errors", [0])
    return str(10.0 * (shares.pop(0) if len(shares) > 1 else shares[0]))


def _list_revisions(state: State, options: Mapping[str, str]) -> str:
    if "`0`], &properties.trafficWeight" in options["--query"]:
        serving = sorted((each["weight"], each["name"]) for each in state["revisions"] if each["weight"])
        return str(serving[-1][1]) if serving else ""
    if wanted := options["--query"].partition("?name=='")[2].partition("'")[0]:
        return "\n".join(each["name"] for each in state["revisions"] if each["name"] == wanted and each["is_active"])
    kept = options["--query"].partition("name != '")[2].partition("'")[0]
    return "\n".join(
        each["name"] for each in state["revisions"] if each["is_active"] and not each["weight"] and each["name"] != kept
    )


def _show_revision(state: State, options: Mapping[str, str]) -> str:
    revision = next(each for each in state["revisions"] if each["name"] == options["--revision"])
    return str(revision["health"].pop(0) if len(revision["health"]) > 1 else revision["health"][0])


def _deactivate(state: State, options: Mapping[str, str]) -> str:
    next(each for each in state["revisions"] if each["name"] == options["--revision"])["is_active"] = False
    return ""


def _request(state: State, _: Mapping[str, str]) -> str:
    """Fail if the request may reach a revision that is not healthy."""
    is_newest = state["outputs"].get("newestUrl") and state["lines"][-1].endswith(
        f"{state['outputs']['newestUrl']}/health/ready"
    )
    targets = state["revisions"][-1:] if is_newest else [each for each in state["revisions"] if each["weight"]]
    if any(each["health"][0] != "Healthy" for each in targets):
        raise CommandError("curl: (22) The requested URL returned error: 503")
    return ""


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


_COMMANDS: Mapping[str, Callable[[State, Mapping[str, str]], str]] = {
    "pulumi stack output": _stack_output,
    "make": lambda *_: "",  # the environment of the policies, which no stand-in uses
    "pulumi up": _up,
    "az containerapp list": _list_apps,
    "az containerapp show": _stable_revision,
    "az monitor metrics list": _count_responses,
    "az containerapp revision list": _list_revisions,
    "az containerapp revision show": _show_revision,
    "az containerapp revision deactivate": _deactivate,
    "curl": _request,
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
