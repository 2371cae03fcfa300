"""Mutants of the project: copies in which one text is replaced, to prove that a check detects the fault."""

import shutil
from pathlib import Path
from typing import NamedTuple

from tests.infra.simulation.program_process import ROOT

CONTAINERS = Path("service", "eventfeed", "log", "cosmos", "containers.json")


class Mutation(NamedTuple):
    """A file of the project, a text that occurs in it exactly once, and the text that replaces it."""

    file: str
    original: str
    replacement: str


def copy_project(folder: Path) -> None:
    """Copy the program and the files of its stacks to `folder`."""
    shutil.copytree(ROOT / "infra", folder / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    for settings in ROOT.glob("Pulumi*.yaml"):
        shutil.copy(settings, folder)
    # The program reads the description of the containers from the service.
    description = folder / CONTAINERS
    description.parent.mkdir(parents=True)
    shutil.copy(ROOT / CONTAINERS, description)


def create_mutant_project(folder: Path, mutation: Mutation) -> Path:
    """Copy the program and its settings to `folder` and apply the mutation there."""
    copy_project(folder)
    mutate(folder, mutation)
    return folder


def mutate(folder: Path, mutation: Mutation) -> None:
    """Apply the mutation to the copy of the project in `folder`.

    Raises `LookupError` when the original text does not occur exactly once: the mutation must change with the program.
    """
    file = folder / mutation.file
    text = file.read_text()
    if (count := text.count(mutation.original)) != 1:
        raise LookupError(f"the text occurs {count} times in {mutation.file}, not once: {mutation.original}")
    file.write_text(text.replace(mutation.original, mutation.replacement))
