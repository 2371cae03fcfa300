"""The container image without a container engine: the parsed Dockerfile, and its build commands run in a sandbox.

The system and Python of this machine take the place of the base image.
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

from tests.infra.sandbox import sandbox_command

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "service" / "Dockerfile"
# The working folder and the result of the Dockerfile's first stage.
BUILD_PATH, RESULT_PATH = "/build", "/opt/eventfeed"
TEMPORARY_PATH = "/tmp"  # noqa: S108  # a private folder in the sandbox
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Instruction(NamedTuple):
    """An instruction of a Dockerfile, with its continuation lines joined."""

    verb: str
    value: str

    @property
    def words(self) -> Sequence[str]:
        """The arguments, in exec form or shell form."""
        value = re.sub(r"^.*\bCMD (?=\[)", "", self.value)
        return json.loads(value) if value.startswith("[") else shlex.split(self.value)


def parse_stages(text: str) -> Sequence[Sequence[Instruction]]:
    """Return the instructions before the first stage, and those of each stage."""
    stages: list[list[Instruction]] = [[]]
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        if line.strip():
            verb, _, value = line.partition(" ")
            stages += [[]] if verb == "FROM" else []
            stages[-1].append(Instruction(verb, value.strip()))
    return stages


def copies(instruction: Instruction) -> Iterator[tuple[Path, str]]:
    """Yield the sources of a COPY instruction in the project, each with its target."""
    *sources, target = instruction.words
    for source in sources:
        name = Path(source).name if target.endswith("/") and (ROOT / source).is_file() else ""
        yield ROOT / source, f"{target.rstrip('/')}/{name}".rstrip("/")


def image_environment() -> Mapping[str, str]:
    """Return the variables that ENV sets in the last stage."""
    lines = [each.words for each in parse_stages(DOCKERFILE.read_text())[-1] if each.verb == "ENV"]
    return dict(word.split("=", 1) for words in lines for word in words)


def health_check() -> Sequence[str]:
    """Return the command of the image's health check."""
    (instruction,) = [each for each in parse_stages(DOCKERFILE.read_text())[-1] if each.verb == "HEALTHCHECK"]
    return instruction.words


class Image(NamedTuple):
    """The result of the first stage, and an empty folder for the root of a process."""

    result: Path
    root: Path

    def command(self, words: Sequence[str], *, readable: Mapping[str, Path], user: int) -> Sequence[str]:
        """Return the command line of a process of the image, on a read-only root."""
        path = image_environment()["PATH"].replace("$PATH", PATH)
        folders = {RESULT_PATH: self.result, **readable}
        return sandbox_command(self.root, ["env", f"PATH={path}", *words], readable=folders, writable={}, user=user)


def image_in(folder: Path) -> Image:
    """Return the image that was built in `folder`."""
    return Image(folder / "result", folder / "root")


def build_image(folder: Path) -> None:
    """Run the first stage of the Dockerfile in `folder`."""
    image, work, temporary = image_in(folder), folder / "work", folder / "tmp"
    for path in (image.result, image.root, work, temporary):
        path.mkdir()
    folders = {BUILD_PATH: work, RESULT_PATH: image.result, TEMPORARY_PATH: temporary, "/cache": _package_cache()}
    for instruction in parse_stages(DOCKERFILE.read_text())[1]:
        if instruction.verb == "COPY":
            for source, target in copies(instruction):
                _copy(source, work / target)
        elif instruction.verb == "RUN":
            _run(instruction.value, image.root, folders)


def _run(command: str, root: Path, folders: Mapping[str, Path]) -> None:
    environment = {
        **os.environ,
        "UV_CACHE_DIR": "/cache",
        "UV_LINK_MODE": "copy",
        "HOME": TEMPORARY_PATH,
        "PATH": f"{sys.base_prefix}/bin:{PATH}",
    }
    words = ["sh", "-euc", f"cd {BUILD_PATH}; {command}"]
    process = subprocess.run(
        sandbox_command(root, words, readable={}, writable=folders, user=0),
        env=environment,
        capture_output=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr.decode()


def _package_cache() -> Path:
    """Return the folder in which uv keeps packages that were installed before."""
    uv = Path(sys.executable).with_name("uv")
    output = subprocess.run([uv, "cache", "dir"], capture_output=True, check=True).stdout
    cache = Path(output.decode().strip())
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copy(source, target)
