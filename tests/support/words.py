"""Measure the vocabulary of the code: participles as names, openings of docstrings, lengths of test names.

Run `python -m tests.support.words [--list] [FOLDER ...]`. The exit status is 1 if a limit is exceeded.

A binding is each place that gives a value or a class its name: a parameter, an assignment to a variable or to an
attribute of `self` or `cls`, a class-body annotation, a loop or comprehension variable, an `as` name, a match capture,
a class. `self`, `cls`, `_` and plain imports do not count. Function names have a column of their own: most are verbs
and would dilute the figure. A name is a bare participle if it is a single word and a participle: `told`, `_told`.
By this count httpx has 1.0 % and Litestar 0.5 %.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

ROOT = Path(__file__).parents[2]
FOLDERS = ("service", "infra", "loadtests", "tests")
PERCENT_MAX = 1.0
TEST_NAME_WORDS_MIN = 3
OPENING = re.compile(r"(What|Whatever|Whether|Which|Who|Whoever|Whom|Whose|How|Where|Why)\b")
# Words that end in -ed without being participles of a verb in use.
NO_PARTICIPLES = frozenset(
    {"embed", "exceed", "feed", "hundred", "indeed", "naked", "need", "proceed", "seed", "shed", "speed", "succeed"}
)
# Irregular participles. Left out: those that equal the verb (put, read, run, set, split), and the noun `bound`.
IRREGULAR = frozenset(Path(__file__).with_name("participles.txt").read_text().split())
# Names that a format or a foreign interface prescribes, each with that format.
FOREIGN = {"approved": "a member of an audit entry, in the store and in the lines of `eventfeed audit`"}


class Place(NamedTuple):
    """A name or the first line of a docstring, with its line number."""

    line: int
    text: str


class Count(NamedTuple):
    """A number of places, and those that break a rule, each as `path:line text`."""

    total: int = 0
    offenders: tuple[str, ...] = ()

    @property
    def percent(self) -> float:
        """The share of offenders."""
        return 100 * len(self.offenders) / max(self.total, 1)


class Vocabulary(NamedTuple):
    """The counts of a module or a folder."""

    values: Count = Count()
    functions: Count = Count()
    docstrings: Count = Count()
    tests: Count = Count()

    def __or__(self, other: Self) -> Self:
        """Add up two sets of counts."""
        pairs = zip(self, other, strict=True)
        return type(self)(*(Count(one.total + two.total, one.offenders + two.offenders) for one, two in pairs))

    def is_within_limits(self) -> bool:
        """True if no rule is broken more often than its limit allows."""
        shares = (self.values.percent, self.functions.percent, self.docstrings.percent)
        return max(shares) <= PERCENT_MAX and not self.tests.offenders


def vocabulary_of(folders: Iterable[Path]) -> Vocabulary:
    """Count every Python file below the folders."""
    total = Vocabulary()
    for file in sorted(file for folder in folders for file in folder.rglob("*.py")):
        label = str(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file)
        total |= vocabulary_of_source(file.read_text(), label=label)
    return total


def vocabulary_of_source(source: str, *, label: str) -> Vocabulary:
    """Count one module. `label` is its path in the list of offenders."""
    tree = ast.parse(source)
    functions = list(function_names(tree))
    tests = [place for place in functions if place.text.startswith("test_")]
    return Vocabulary(
        values=_count(label, value_names(tree), is_participle),
        functions=_count(label, functions, is_participle),
        docstrings=_count(label, docstrings(tree), is_clause),
        tests=_count(label, tests, is_short_test_name),
    )


def _count(label: str, places: Iterable[Place], is_offender: Callable[[str], bool]) -> Count:
    in_order = sorted(places)
    offenders = tuple(f"{label}:{place.line} {place.text}" for place in in_order if is_offender(place.text))
    return Count(len(in_order), offenders)


def is_participle(name: str) -> bool:
    """True if the name is a single word and a participle."""
    word = name.strip("_")
    if not re.fullmatch(r"[A-Z]?[a-z]+|[A-Z]+", word) or word in FOREIGN:
        return False
    lower = word.lower()
    return lower in IRREGULAR or (len(lower) > 3 and lower.endswith("ed") and lower not in NO_PARTICIPLES)


def is_clause(docstring: str) -> bool:
    """True if the docstring begins with an interrogative."""
    return OPENING.match(docstring) is not None


def is_short_test_name(name: str) -> bool:
    """True if fewer than three words follow `test_`."""
    return len(name.removeprefix("test_").split("_")) < TEST_NAME_WORDS_MIN


def function_names(tree: ast.Module) -> Iterator[Place]:
    """The names of functions and methods."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Place(node.lineno, node.name)


def value_names(tree: ast.Module) -> Iterator[Place]:
    """The names of values and classes, once for each place that gives them."""
    increments = {node.target for node in ast.walk(tree) if isinstance(node, ast.AugAssign)}
    for node in ast.walk(tree):
        name = _name(node)
        if name and node not in increments and name not in ("self", "cls"):
            yield Place(getattr(node, "lineno", 0), name)


def _name(node: ast.AST) -> str | None:
    """The name that a node binds, if any."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.ClassDef(name=name):
            return name
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
            return name
        case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
            return name
        case ast.MatchMapping(rest=name) | ast.alias(asname=name):
            return name
    return None


def docstrings(tree: ast.Module) -> Iterator[Place]:
    """The first line of every docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield Place(node.body[0].lineno, text.splitlines()[0])


def main(arguments: Sequence[str]) -> int:
    """Print a table of the folders, with `--list` the offenders before it, and return the exit status."""
    folders = [Path(each) for each in arguments if each != "--list"] or [ROOT / name for name in FOLDERS]
    counts = {folder.name: vocabulary_of([folder]) for folder in folders}
    total = Vocabulary()
    for each in counts.values():
        total |= each
    if "--list" in arguments:
        _print_offenders(total)
    _print_table({**counts, "together": total})
    is_right = all(each.is_within_limits() for each in (*counts.values(), total))
    print("within the limits" if is_right else "over a limit: run `make words LIST=1` for the places")
    return 0 if is_right else 1


def _print_offenders(total: Vocabulary) -> None:
    for heading, count in zip(("participle", "participle", "docstring", "test name"), total, strict=True):
        for offender in count.offenders:
            print(f"{heading}: {offender}")


def _print_table(counts: dict[str, Vocabulary]) -> None:
    print(f"{'':10}  names  partic.   %   | functions  partic.   % | docstrings  What/Who   % | short test names")
    for name, each in counts.items():
        shares = [f"{count.total:>6} {len(count.offenders):>6} {count.percent:>6.1f} %" for count in each[:3]]
        print(f"{name:10} {' | '.join(shares)} | {len(each.tests.offenders)} of {each.tests.total}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
