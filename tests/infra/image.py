"""The image, read and made without an engine: what the Dockerfile says, and its own commands run in a box.

The base image's place is taken by this machine's system and Python.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.infra.boxing import boxed

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "service" / "Dockerfile"
# Where the Dockerfile has its work and its result.
BUILD, MADE = "/build", "/opt/eventfeed"
TEMPORARY = "/tmp"  # noqa: S108  # in the box it is a folder of ours
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Instruction(NamedTuple):
    """A line of a Dockerfile, its continuations joined."""

    verb: str
    value: str

    @property
    def words(self) -> Sequence[str]:
        """The arguments, in whichever of the two forms they are given."""
        value = re.sub(r"^.*\bCMD (?=\[)", "", self.value)
        return json.loads(value) if value.startswith("[") else shlex.split(self.value)


def stages(text: str) -> Sequence[Sequence[Instruction]]:
    """What stands before the first stage, and the instructions of each."""
    found: list[list[Instruction]] = [[]]
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        if line.strip():
            verb, _, value = line.partition(" ")
            found += [[]] if verb == "FROM" else []
            found[-1].append(Instruction(verb, value.strip()))
    return found


def copied(instruction: Instruction) -> Iterator[tuple[Path, str]]:
    """What a COPY takes from the project, and where it puts it."""
    *sources, place = instruction.words
    for source in sources:
        name = Path(source).name if place.endswith("/") and (ROOT / source).is_file() else ""
        yield ROOT / source, f"{place.rstrip('/')}/{name}".rstrip("/")


def settings() -> Mapping[str, str]:
    """What ENV of the last stage sets."""
    lines = [each.words for each in stages(DOCKERFILE.read_text())[-1] if each.verb == "ENV"]
    return dict(word.split("=", 1) for words in lines for word in words)


class Image(NamedTuple):
    """What the first stage has made, and where a process of it finds its root."""

    made: Path
    root: Path

    def command(self, words: Sequence[str], *, shown: Mapping[str, Path], user: int) -> Sequence[str]:
        """The command line of a process of the image, on a root that it cannot write."""
        path = settings()["PATH"].replace("$PATH", PATH)
        return boxed(
            self.root, ["env", f"PATH={path}", *words], shown={MADE: self.made, **shown}, written={}, user=user
        )


def build(folder: Path) -> Image:
    """Run the first stage."""
    work, made, temporary, root = (folder / name for name in ("work", "made", "tmp", "root"))
    for each in (work, made, temporary, root):
        each.mkdir()
    written = {BUILD: work, MADE: made, TEMPORARY: temporary, "/cache": _cache()}
    environment = {
        **os.environ,
        "UV_CACHE_DIR": "/cache",
        "UV_LINK_MODE": "copy",
        "HOME": TEMPORARY,
        "PATH": f"{sys.base_prefix}/bin:{PATH}",
    }
    for instruction in stages(DOCKERFILE.read_text())[1]:
        if instruction.verb == "COPY":
            for source, place in copied(instruction):
                _copy(source, work / place)
        elif instruction.verb == "RUN":
            command = ["sh", "-euc", f"cd {BUILD}; {instruction.value}"]
            run = subprocess.run(
                boxed(root, command, shown={}, written=written, user=0),
                env=environment,
                capture_output=True,
                check=False,
            )
            assert run.returncode == 0, run.stderr.decode()
    return Image(made, root)


def _cache() -> Path:
    """Where packages are kept that were installed here before."""
    asked = subprocess.run([Path(sys.executable).with_name("uv"), "cache", "dir"], capture_output=True, check=True)
    cache = Path(asked.stdout.decode().strip())
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copy(source, place)
