"""The inputs that the SDK adds by itself: those that no line of `infra/` names, in a list that is committed.

A new version of the SDK may send another default. The list then differs, and a person decides: either a line of
`infra/` states the input, or the list is written again by `python -m tests.infra.test_sdk_defaults`.
"""

import ast
import dataclasses
import functools
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.infra import sdk_check
from tests.infra.mock_run import AZURE, INFRA, MockRun, run_with_mocks
from tests.infra.simulation.stack_files import OPTIONS

FILE = Path(__file__).with_name("sdk_defaults.json")
SOURCES = sorted(INFRA.rglob("*.py"))


@functools.cache
def program() -> Mapping[str, frozenset[str]]:
    """Return the names of the inputs that the program gives to each class of the SDK, by module and class.

    Under the module alone are the keys of the dictionaries in the files that import it: a dictionary has no class.
    """
    names = defaultdict[str, set[str]](set)
    for tree in (ast.parse(file.read_text()) for file in SOURCES):
        modules = modules_of(tree)
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if module in modules:
                    names[f"{module}:{name}"] |= {each.arg for each in node.keywords if each.arg}
                case ast.Dict():
                    keys = {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
                    for module in modules:
                        names[module] |= keys
    return {key: frozenset(map(plain_name, values)) for key, values in names.items()}


def modules_of(tree: ast.AST) -> set[str]:
    """Return the modules of the SDK that a module imports."""
    imports = [each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)]
    return {name.name for each in imports if each.module == "pulumi_azure_native" for name in each.names}


def plain_name(name: str) -> str:
    """Return a name without its spelling: the program's `soft_delete` is the provider's `softDelete`."""
    return name.replace("_", "").casefold()


def unstated_paths(inputs: Any, classes: sdk_check.InputClasses, owner: str, path: str = "") -> Iterator[str]:
    """Yield a line for each input that the program does not give to its class: its path and its value.

    `owner` is the module and the class by which the program makes the object.
    """
    module = owner.partition(":")[0]
    names = program().get(owner, program().get(module, frozenset()))
    for key, value in inputs.items():
        key_path = f"{path}.{key}".removeprefix(".")
        objects = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, Mapping)]
        if (below := classes.below(key)) and objects:
            for each in objects:
                # Of several classes the program has used the one that fits best.
                lines = [list(unstated_paths(each, one, f"{module}:{one.name}", key_path)) for one in below]
                yield from min(lines, key=len)
        elif plain_name(key) not in names:
            yield f"{key_path}: {json.dumps(value)}"


def unstated_inputs(runs: Sequence[MockRun]) -> list[str]:
    """Return a line for each input that the program does not state: its type, its path and its value."""
    lines = set()
    for resource in (each for run in runs for each in run.azure):
        token = resource.token.removeprefix(AZURE)
        classes = sdk_check.input_classes(resource.token)
        lines |= {f"{token} {line}" for line in unstated_paths(resource.plain, classes, token)}
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
