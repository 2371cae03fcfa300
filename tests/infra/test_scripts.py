"""The shell scripts of `infra/`, run against stand-ins of `pulumi`, `az` and `curl`."""

import subprocess
from pathlib import Path

import pytest

from tests.infra import stand_ins

ROOT = Path(__file__).parents[2]
NEXT = "eventfeed@sha256:2"
APP: stand_ins.State = {
    "outputs": {"resourceGroup": "eventfeed", "url": "https://gateway.example", "newestUrl": "https://newest.example"},
    "revisions": [
        {
            "name": f"eventfeed--{number}",
            "image": f"eventfeed@sha256:{number}x",
            "health": ["Healthy"],
            "is_active": True,
        }
        | {"weight": 100 if number == 3 else 0}
        for number in (1, 2, 3)
    ],
    "weights": [],
}
REGISTRY = {"outputs": {"registry": "eventfeed1.azurecr.io"}, "images": {}}


def run_script(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of `infra/` with the stand-ins in `folder`."""
    environment = {**stand_ins.environment(folder), "ROLL_OUT_PAUSE_SECONDS": "0"}
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


@pytest.mark.parametrize("newest_url", ["https://newest.example", ""])
def test_healthy_image_gets_the_traffic_in_steps(tmp_path: Path, newest_url: str) -> None:
    """It starts without traffic. At the end it serves alone, and of the idle revisions the newest stays active."""
    stand_ins.install(
        tmp_path, {**APP, "outputs": {**APP["outputs"], "newestUrl": newest_url}, "health": ["None", "Healthy"]}
    )
    process = run_script(tmp_path, "roll-out.sh", "dev", NEXT)
    state = stand_ins.read_state(tmp_path)

    assert (0, [0, 10, 50, 100, 100]) == (process.returncode, state["weights"])
    assert [0, 0, 0, 100] == [each["weight"] for each in state["revisions"]]
    assert [False, False, True, True] == [each["is_active"] for each in state["revisions"]]


@pytest.mark.parametrize(
    ("health", "weights"),
    [
        (["None", "Unhealthy"], [0, 0]),
        (["None"], [0, 0]),
        (["None", *["Healthy"] * 4, "Unhealthy"], [0, 10, 50, 0]),
    ],
    ids=["broken", "never healthy", "broken under load"],
)
def test_traffic_goes_back_from_an_image_that_is_not_healthy(
    tmp_path: Path, health: list[str], weights: list[int]
) -> None:
    """The old revision serves as before, and the script fails with the command that shows the log."""
    stand_ins.install(tmp_path, {**APP, "health": health})
    process = run_script(tmp_path, "roll-out.sh", "prod", NEXT)
    state = stand_ins.read_state(tmp_path)

    assert (1, weights) == (process.returncode, state["weights"])
    assert [0, 0, 100, 0] == [each["weight"] for each in state["revisions"]]
    assert (
        "az containerapp logs show --resource-group eventfeed --name eventfeed --revision eventfeed--4"
        in process.stderr
    )


@pytest.mark.parametrize(
    ("failing", "weights"),
    [
        ({"newestWeight=10 ": 1}, [0, 0]),
        ({"newestWeight=50 ": 1}, [0, 10, 0]),
        ({"newestWeight=100 ": 1}, [0, 10, 50, 0]),
        ({"stack output revision": 1}, [0, 0]),
    ],
)
def test_traffic_goes_back_after_a_failed_command(tmp_path: Path, failing: dict[str, int], weights: list[int]) -> None:
    """A step that fails leaves no part of the traffic with an image that is not proven."""
    stand_ins.install(tmp_path, {**APP, "health": ["Healthy"], "failing": failing})
    process = run_script(tmp_path, "roll-out.sh", "prod", NEXT)
    state = stand_ins.read_state(tmp_path)

    assert (1, weights) == (process.returncode, state["weights"])
    assert [0, 0, 100, 0] == [each["weight"] for each in state["revisions"]]


@pytest.mark.parametrize("command", ["az containerapp list", "az containerapp revision list"])
def test_question_that_fails_moves_no_traffic(tmp_path: Path, command: str) -> None:
    """An app that serves is not taken for a new one, whose first image gets all traffic."""
    stand_ins.install(tmp_path, {**APP, "health": ["Healthy"], "failing": {command: 1}})
    process = run_script(tmp_path, "roll-out.sh", "prod", NEXT)

    assert 0 != process.returncode
    assert [] == stand_ins.read_state(tmp_path)["weights"]


def test_first_image_gets_all_traffic(tmp_path: Path) -> None:
    """There is no revision to return to: the script waits for its health alone."""
    stand_ins.install(tmp_path, {**APP, "revisions": [], "health": ["None", "Healthy"]})
    process = run_script(tmp_path, "roll-out.sh", "dev", NEXT)

    assert (0, [100]) == (process.returncode, stand_ins.read_state(tmp_path)["weights"])


def test_image_that_runs_already_keeps_its_traffic(tmp_path: Path) -> None:
    """The same image makes no revision: the weights end as they were."""
    stand_ins.install(tmp_path, {**APP, "health": ["Healthy"]})
    process = run_script(tmp_path, "roll-out.sh", "dev", str(APP["revisions"][-1]["image"]))
    state = stand_ins.read_state(tmp_path)

    assert (0, [0, 0, 100]) == (process.returncode, [each["weight"] for each in state["revisions"]])
