"""Copies of the project with a text of it changed, so that what ought to notice can be seen to notice."""

import shutil
from pathlib import Path

from tests.infra.simulation.simulation import ROOT


def planted(folder: Path, *, file: str, sound: str, faulty: str) -> Path:
    """A copy of the program and its settings in which one text, which must be there once, became another."""
    shutil.copytree(ROOT / "infra", folder / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    for each in ROOT.glob("Pulumi*.yaml"):
        shutil.copy(each, folder)
    text = (folder / file).read_text()
    if text.count(sound) != 1:
        raise LookupError(f"{file} has this text {text.count(sound)} times, so nothing can be planted: {sound}")
    (folder / file).write_text(text.replace(sound, faulty))
    return folder
