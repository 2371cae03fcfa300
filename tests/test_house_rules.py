"""The house style, as far as a program can check it."""

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import pytest

from tests.support.words import FOLDERS, PERCENT_MAX, ROOT, Vocabulary, vocabulary_of, vocabulary_of_source

SERVICE = sorted((ROOT / "service").rglob("*.py"))
ALL = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
DOMAIN = sorted((ROOT / "service/eventfeed/domain").glob("*.py"))

FUNCTION_LINES_MAX = 40
BODY_LINES_MAX = 40
BODY_LINES_P90 = 15
# A component of infra/ is a list of resources.
BODY_LINES_P90_INFRA = 24
MODULE_LINES_MAX = 350
TEST_MODULE_LINES_MAX = 800
MODULE_NAMES_MAX = 25
MODULE_IMPORTS_MAX = 20
PARAMETERS_MAX = 5
POSITIONAL_MAX = 2
# Docstrings that begin with What, Who or the like and are still to be rewritten. The number may only fall.
DOCSTRING_EXCEPTIONS = 0
TOP_LEVEL = {
    *("infra", "service", "clients", "loadtests", "tests", "docs", ".github", ".ci", "requirements"),
    *("Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.prod.yaml"),
    *("pyproject.toml", "Makefile", "compose.yaml", "mkdocs.yml"),
    *("README.md", "CHANGELOG.md", "LICENSE", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md"),
    *(".gitignore", ".dockerignore", ".editorconfig", ".pre-commit-config.yaml"),
}
EMPTY_NAMES = re.compile(r"(^|_)(utils?|helpers?|common|manager|misc|base)(_|$)")
CLOCK_AND_CHANCE = re.compile(r"datetime\.now\(|time\.time|uuid4\(|random\.random\(")
PRIVATE_TEXT = re.compile(
    rb"/(?:home|root|Users)/\w|/work/main|pypi\.org|pythonhosted|registry\.npmjs|deb\.debian|BEGIN (RSA )?PRIVATE",
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.fixture(scope="module")
def vocabulary() -> Mapping[str, Vocabulary]:
    """The vocabulary of each folder and of all together."""
    folders = {folder: vocabulary_of([ROOT / folder]) for folder in FOLDERS}
    return {**folders, "together": vocabulary_of(ROOT / folder for folder in FOLDERS)}


def tracked_files() -> Sequence[Path]:
    """Every file of the project."""
    output = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in output.splitlines() if (ROOT / name).is_file()]


def functions(file: Path) -> Iterator[Function]:
    """Every function of a file, inner ones included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def label(file: Path, function: Function) -> str:
    """The file, line and name of a function."""
    return f"{file.relative_to(ROOT)}:{function.lineno} {function.name}"


def body_lines(function: Function) -> int:
    """The number of lines from the first statement after the docstring to the end."""
    first = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - first[0].lineno + 1 if first else 0


def body_lengths(files: Sequence[Path]) -> Mapping[str, int]:
    """The number of body lines of every function."""
    return {label(file, function): body_lines(function) for file in files for function in functions(file)}


def module_names(tree: ast.Module) -> set[str]:
    """The names that a module defines at its top level, without imports."""
    names = set[str]()
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Assign() | ast.AnnAssign():
                names.update(
                    each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
                )
    return names


def project_imports(tree: ast.Module) -> set[str]:
    """The modules of the service that a module imports, wherever in the module."""
    modules = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update(each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.update(_module_of(node.module, each.name) for each in node.names)
    return {module for module in modules if module.partition(".")[0] == "eventfeed"}


def _module_of(module: str, name: str) -> str:
    """The module that `from module import name` needs: `name` may be a module itself."""
    path = ROOT / "service" / module.replace(".", "/") / name
    return f"{module}.{name}" if path.is_dir() or path.with_suffix(".py").is_file() else module


def test_top_level_holds_only_named_entries() -> None:
    """A new entry at the top level needs a line here."""
    assert {path.relative_to(ROOT).parts[0] for path in tracked_files()} <= TOP_LEVEL


def test_functions_are_at_most_40_lines_long() -> None:
    """No function is longer than 40 lines, and nine of ten in the service have at most 24."""
    lengths = {
        label(file, function): (function.end_lineno or 0) - function.lineno + 1
        for file in ALL
        for function in functions(file)
        # A function that only lists routes or commands is as long as its list.
        if not function.name.endswith("_routes")
    }
    service = sorted(length for name, length in lengths.items() if name.startswith("service"))

    assert {} == {name: length for name, length in lengths.items() if length > FUNCTION_LINES_MAX}
    assert service[len(service) * 9 // 10] <= 24


def test_function_bodies_are_at_most_40_lines_long() -> None:
    """No body is longer than 40 lines, docstring excluded."""
    lengths = body_lengths(ALL)

    assert {} == {name: length for name, length in lengths.items() if length > BODY_LINES_MAX}


@pytest.mark.parametrize("folder", FOLDERS)
def test_nine_function_bodies_of_ten_have_at_most_15_lines(folder: str) -> None:
    """The 90th percentile of the lines of a body is 15 or less, and 24 or less in infra/."""
    lengths = sorted(body_lengths([file for file in ALL if ROOT / folder in file.parents]).values())

    assert lengths[len(lengths) * 9 // 10] <= (BODY_LINES_P90_INFRA if folder == "infra" else BODY_LINES_P90)


@pytest.mark.parametrize("file", ALL, ids=lambda file: str(file.relative_to(ROOT)))
def test_module_length_is_within_limit(file: Path) -> None:
    """A module has at most 350 lines. One of tests may list more cases."""
    limit = TEST_MODULE_LINES_MAX if ROOT / "tests" in file.parents else MODULE_LINES_MAX

    assert len(file.read_text().splitlines()) <= limit


def test_modules_define_at_most_25_names() -> None:
    """A module of the service, the infrastructure or the load tests defines at most 25 names at its top level."""
    counts = {
        str(file.relative_to(ROOT)): len(module_names(ast.parse(file.read_text())))
        for file in ALL
        if ROOT / "tests" not in file.parents
    }

    assert {} == {name: count for name, count in counts.items() if count > MODULE_NAMES_MAX}


def test_modules_import_at_most_20_project_modules() -> None:
    """A module of the service imports at most 20 others."""
    counts = {str(file.relative_to(ROOT)): len(project_imports(ast.parse(file.read_text()))) for file in SERVICE}

    assert {} == {name: count for name, count in counts.items() if count > MODULE_IMPORTS_MAX}


def test_functions_take_few_parameters_and_most_by_name() -> None:
    """A function takes at most five parameters, a constructor six, and only two of them by position."""
    offenders = []
    for file in SERVICE:
        for function in functions(file):
            arguments = function.args
            positional = [
                each.arg for each in arguments.posonlyargs + arguments.args if each.arg not in ("self", "cls")
            ]
            command = any("command" in ast.unparse(decorator) for decorator in function.decorator_list)
            # ASGI and cachetools set the parameters of these.
            if function.name not in ("__call__", "_expiry") and (
                len(positional) > POSITIONAL_MAX + 3 * command
                or len(positional) + len(arguments.kwonlyargs) > PARAMETERS_MAX + (function.name == "__init__")
            ):
                offenders.append(label(file, function))

    assert [] == offenders


def test_module_names_say_an_idea() -> None:
    """No module is called utils, helpers, common or manager."""
    assert [] == [str(file.relative_to(ROOT)) for file in ALL if EMPTY_NAMES.search(file.stem)]


def test_every_test_has_a_sentence_as_docstring() -> None:
    """The docstring of a test is a sentence."""
    offenders = [
        label(file, function)
        for file in ALL
        if file.name.startswith("test_")
        for function in functions(file)
        if function.name.startswith("test_") and not (ast.get_docstring(function) or "").endswith((".", ":"))
    ]

    assert [] == offenders


@pytest.mark.parametrize("folder", [*FOLDERS, "together"])
def test_participles_as_names_are_at_most_one_percent(vocabulary: Mapping[str, Vocabulary], folder: str) -> None:
    """Few names of values and few names of functions are bare participles. `make words` counts them."""
    values, functions = vocabulary[folder].values, vocabulary[folder].functions

    assert values.percent <= PERCENT_MAX, "\n".join(values.offenders)
    assert functions.percent <= PERCENT_MAX, "\n".join(functions.offenders)


def test_docstrings_with_a_denied_opening_are_the_counted_exceptions(vocabulary: Mapping[str, Vocabulary]) -> None:
    """No docstring begins with What, Whether, Who, How or Where, but for a number that falls with every correction."""
    offenders = vocabulary["together"].docstrings.offenders

    assert len(offenders) == DOCSTRING_EXCEPTIONS, "\n".join(offenders)


def test_test_names_have_at_least_three_words(vocabulary: Mapping[str, Vocabulary]) -> None:
    """The name of a test says a subject, a condition and a result."""
    assert () == vocabulary["together"].tests.offenders


def test_vocabulary_finds_each_kind_of_binding() -> None:
    """Every place that gives a name counts, and every docstring and test name is checked."""
    source = '''
"""What this is."""
import a as told
from b import sent
class Given:
    """A value."""
    seen: int = 0
    def shown(self, asked, *, is_open):
        """How it works."""
        self.known = [0 for found in asked]
        self.known += 1
        with a as kept, (gone := b):
            speed, TAKEN = 1, 2
        match a:
            case [wanted, *_left] if wanted:
                pass
def test_short_name(): pass
'''
    vocabulary = vocabulary_of_source(source, label="x.py")
    names = [offender.split()[-1] for offender in vocabulary.values.offenders]

    assert ["told", "Given", "seen", "asked", "found", "known", "gone", "kept", "TAKEN", "_left", "wanted"] == names
    assert ("x.py:8 shown",) == vocabulary.functions.offenders
    assert ("x.py:2 What this is.", "x.py:9 How it works.") == vocabulary.docstrings.offenders
    assert ("x.py:17 test_short_name",) == vocabulary.tests.offenders


def test_glossary_names_every_public_class_of_the_domain() -> None:
    """`docs/glossary.md` explains each class that the other packages use."""
    glossary = (ROOT / "docs/glossary.md").read_text()
    trees = [ast.parse(file.read_text()) for file in DOMAIN]
    classes = [node.name for node in chain.from_iterable(tree.body for tree in trees) if isinstance(node, ast.ClassDef)]

    assert [] == [name for name in classes if not name.startswith("_") and f"`{name}`" not in glossary]


def test_clock_and_chance_come_from_the_composition_root() -> None:
    """Below `app` no module reads the wall clock, draws random numbers or makes ids."""
    packages = {"domain", "log", "records", "access", "identity", "delivery", "http"}
    modules = [file for file in SERVICE if packages & set(file.relative_to(ROOT).parts)]

    assert [] == [str(file) for file in modules if CLOCK_AND_CHANCE.search(file.read_text())]


def test_broad_excepts_are_those_of_long_running_loops() -> None:
    """Each long-running loop may have one `except Exception`, and no other code has any."""
    broad = [str(file.relative_to(ROOT)) for file in SERVICE if re.search(r"except (Base)?Exception", file.read_text())]
    loops = [
        "service/eventfeed/app/maintenance.py",
        "service/eventfeed/log/appender.py",
        "service/eventfeed/log/memory/tail.py",
        "service/eventfeed/log/sqlite/connections.py",
        "service/eventfeed/telemetry/export.py",
    ]

    assert loops == broad


def test_no_file_names_a_machine_or_a_registry() -> None:
    """No file holds a path of a machine, a registry host or a private key."""
    offenders = [
        str(file.relative_to(ROOT))
        for file in tracked_files()
        if file != Path(__file__) and PRIVATE_TEXT.search(file.read_bytes())
    ]

    assert [] == offenders
