"""The inputs that the SDK adds by itself: those that no line of `infra/` names, in a list that is committed.

A new version of the SDK may send another default. The list then differs, and a person decides: either a line of
`infra/` states the input, or the list is written again by `python -m tests.infra.test_sdk_defaults`.
"""

import ast
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.infra.mock_run import AZURE, INFRA, MockRun, run_with_mocks
from tests.infra.simulation.stack_files import OPTIONS

FILE = Path(__file__).with_name("sdk_defaults.json")
SOURCES = sorted(INFRA.rglob("*.py"))


def names_of(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a module gives to inputs: of keyword arguments, and of the keys of dictionaries."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Dict):
            yield from (str(key.value) for key in node.keys if isinstance(key, ast.Constant))


def modules_of(tree: ast.AST) -> set[str]:
    """Return the modules of the SDK that a module imports."""
    imports = [each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)]
    return {name.name for each in imports if each.module == "pulumi_azure_native" for name in each.names}


def plain_name(name: str) -> str:
    """Return a name without its spelling: the program's `soft_delete` is the provider's `softDelete`."""
    return name.replace("_", "").casefold()


def stated_names(module: str) -> set[str]:
    """Return the names that the program gives to inputs in the files that use a module of the SDK."""
    trees = [ast.parse(file.read_text()) for file in SOURCES]
    return {plain_name(name) for tree in trees if module in modules_of(tree) for name in names_of(tree)}


def paths_of(inputs: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and the value of each input that is no object, without the indexes of lists.

    Tags are one input, and so are identities: their names are not the SDK's.
    """
    if isinstance(inputs, Mapping) and inputs and path not in ("tags", "identity.userAssignedIdentities"):
        for key, value in inputs.items():
            yield from paths_of(value, f"{path}.{key}".removeprefix("."))
    elif isinstance(inputs, list) and inputs and isinstance(inputs[0], Mapping):
        for each in inputs:
            yield from paths_of(each, path)
    else:
        yield path, inputs


def unstated_inputs(runs: Sequence[MockRun]) -> list[str]:
    """Return a line for each input that no line of the program names: its type, its path and its value."""
    lines = set()
    names = dict[str, set[str]]()
    for resource in (each for run in runs for each in run.azure):
        token = resource.token.removeprefix(AZURE)
        module = token.partition(":")[0]
        names.setdefault(module, stated_names(module))
        for path, value in paths_of(resource.plain):
            if plain_name(path.rpartition(".")[2]) not in names[module]:
                lines.add(f"{token} {path}: {json.dumps(value)}")
    return sorted(lines)


def test_inputs_that_the_program_does_not_name_are_listed(dev: MockRun, prod: MockRun, options: MockRun) -> None:
    """Nothing else reaches the provider without a line in the program, and nothing in the list has disappeared."""
    assert json.loads(FILE.read_text()) == unstated_inputs([dev, prod, options])


def test_input_of_the_sdk_is_found(prod: MockRun) -> None:
    """A default that a newer SDK adds, at the top or within a list, is one more line."""
    service, app = prod.one("apimanagement:ApiManagementService"), prod.one("app:ContainerApp")
    container = {**app.plain["template"]["containers"][0], "shareProcesses": True}
    template = {**app.plain["template"], "containers": [container]}
    faulty = [
        dataclasses.replace(service, inputs={**service.inputs, "newPortalStatus": "Enabled"}),
        dataclasses.replace(app, inputs={**app.inputs, "template": template}),
    ]
    lines = unstated_inputs([dataclasses.replace(prod, resources=faulty)])

    assert {
        'apimanagement:ApiManagementService newPortalStatus: "Enabled"',
        "app:ContainerApp template.containers.shareProcesses: true",
    } == set(lines) - set(json.loads(FILE.read_text()))


if __name__ == "__main__":
    all_runs = [run_with_mocks("dev"), run_with_mocks("prod"), run_with_mocks("prod", OPTIONS)]
    FILE.write_text(json.dumps(unstated_inputs(all_runs), indent=2) + "\n")
