"""The shell scripts of `infra/`, run against stand-ins of `pulumi` and `az`."""

import subprocess
from pathlib import Path

import pytest

from tests.infra import stand_ins

ROOT = Path(__file__).parents[2]
REGISTRY = {"outputs": {"registry": "eventfeed1.azurecr.io"}, "images": {}}


def run_script(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of `infra/` with the stand-ins in `folder`."""
    environment = stand_ins.environment(folder)
    command = ["bash", f"infra/{arguments[0]}", *arguments[1:]]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("arguments", "imports"), [([], 1), (["--renew-base"], 2)])
def test_image_is_built_on_the_base_of_the_registry(tmp_path: Path, arguments: list[str], imports: int) -> None:
    """The base is imported by the first build, and again on request; the image is printed by its digest."""
    stand_ins.install(tmp_path, REGISTRY)
    first, second = (
        run_script(tmp_path, "build-image.sh", "dev"),
        run_script(tmp_path, "build-image.sh", "dev", *arguments),
    )
    state = stand_ins.read_state(tmp_path)
    (name,) = [each for each in state["images"] if each.startswith("eventfeed:")]

    assert [f"eventfeed@{state['images'][name]}\n"] * 2 == [first.stdout, second.stdout]
    assert imports == sum(line.startswith("az acr import") for line in state["lines"])


def test_build_on_a_base_of_docker_hub_fails(tmp_path: Path) -> None:
    """The stand-in detects the fault: Docker Hub refuses pulls without a login."""
    stand_ins.install(tmp_path, REGISTRY)
    state = stand_ins.read_state(tmp_path)
    line = ["az", "acr", "build", "--image", "eventfeed:1", "--build-arg", "BASE=python:3.11-slim-bookworm"]

    with pytest.raises(stand_ins.CommandError, match="toomanyrequests"):
        stand_ins.run(state, line)
