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


def run_script(folder: Path, *arguments: str, soak_seconds: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a script of `infra/` with the stand-ins in `folder`."""
    environment = {
        **stand_ins.environment(folder),
        "ROLL_OUT_PAUSE_SECONDS": "0",
        "ROLL_OUT_SOAK_SECONDS": str(soak_seconds),
    }
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
    """It starts without traffic. At the end it serves alone, and of the idle revisions the last server stays active."""
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
        (["None", *["Healthy"] * 5, "Unhealthy"], [0, 10, 50, 0]),
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
    ("changes", "soak_seconds", "weights"),
    [
        ({"errors": [2]}, 0, [0, 10, 0]),
        ({"errors": [0, 0, 1, 5]}, 3600, [0, 10, 0]),
        ({"health": [*["Healthy"] * 6, "Unhealthy"]}, 3600, [0, 10, 0]),
        ({"errors": [0, 0, 0, 0, 1.5]}, 0, [0, 10, 50, 100, 0]),
        ({"failing": {"az monitor metrics list": 1000}}, 0, [0, 10, 0]),
    ],
    ids=["errors at once", "errors in the soak", "unhealthy in the soak", "errors at the end", "never an answer"],
)
def test_traffic_goes_back_after_a_fault_in_a_step(
    tmp_path: Path, changes: stand_ins.State, soak_seconds: int, weights: list[int]
) -> None:
    """Health and errors are checked throughout a step, and a fault ends it before its time."""
    stand_ins.install(tmp_path, {**APP, "health": ["Healthy"], **changes})
    process = run_script(tmp_path, "roll-out.sh", "prod", NEXT, soak_seconds=soak_seconds)
    state = stand_ins.read_state(tmp_path)

    assert (1, weights) == (process.returncode, state["weights"])
    assert [0, 0, 100, 0] == [each["weight"] for each in state["revisions"]]


def test_good_image_after_a_failed_one_leaves_the_good_ones_active(tmp_path: Path) -> None:
    """The rollback in seconds is to the revision that served, not to the one that failed in between."""
    stand_ins.install(tmp_path, {**APP, "health": ["Unhealthy"]})
    run_script(tmp_path, "roll-out.sh", "prod", NEXT)
    state = stand_ins.read_state(tmp_path)
    stand_ins.install(tmp_path, {**state, "health": ["Healthy"]})
    process = run_script(tmp_path, "roll-out.sh", "prod", "eventfeed@sha256:3")
    state = stand_ins.read_state(tmp_path)

    assert 0 == process.returncode
    assert [0, 0, 0, 0, 100] == [each["weight"] for each in state["revisions"]]
    assert [False, False, True, False, True] == [each["is_active"] for each in state["revisions"]]


def test_few_errors_of_few_responses_are_no_fault(tmp_path: Path) -> None:
    """At night one error is a large share of the responses."""
    stand_ins.install(tmp_path, {**APP, "health": ["Healthy"], "errors": [0.4], "responses": 20.0})
    process = run_script(tmp_path, "roll-out.sh", "prod", NEXT)

    assert 0 == process.returncode, process.stderr


def test_revision_that_cannot_be_deactivated_fails_no_roll_out(tmp_path: Path) -> None:
    """The new revision serves; the message names the idle one."""
    stand_ins.install(tmp_path, {**APP, "health": ["Healthy"], "failing": {"revision deactivate": 1}})
    process = run_script(tmp_path, "roll-out.sh", "prod", NEXT)

    assert (0, "eventfeed--1 stays active") == (process.returncode, process.stderr.splitlines()[-1])


def test_question_without_an_answer_is_repeated(tmp_path: Path) -> None:
    """Two failures of the metrics do not end a roll-out, and 1 % of errors is allowed."""
    stand_ins.install(
        tmp_path, {**APP, "health": ["Healthy"], "errors": [1], "failing": {"az monitor metrics list": 2}}
    )
    process = run_script(tmp_path, "roll-out.sh", "prod", NEXT)

    assert (0, [0, 10, 50, 100, 100]) == (process.returncode, stand_ins.read_state(tmp_path)["weights"])


@pytest.mark.parametrize("newest_weight", [50, 100])
def test_roll_out_after_an_interruption_keeps_the_stable_revision(tmp_path: Path, newest_weight: int) -> None:
    """Two revisions may have the same share. The label of the program names the one that is proven."""
    revisions = [
        {**APP["revisions"][0], "weight": 100 - newest_weight, "label": "stable"},
        {**APP["revisions"][1], "weight": newest_weight, "label": ""},
    ]
    stand_ins.install(tmp_path, {**APP, "revisions": revisions, "health": ["Unhealthy"]})
    process = run_script(tmp_path, "roll-out.sh", "prod", NEXT)

    assert 1 == process.returncode
    assert [100, 0, 0] == [each["weight"] for each in stand_ins.read_state(tmp_path)["revisions"]]


def test_label_at_a_revision_that_is_not_active_is_not_trusted(tmp_path: Path) -> None:
    """Azure refuses traffic to it. The script returns to the revision with the most traffic instead, and says so."""
    revisions = [{**APP["revisions"][0], "label": "stable", "is_active": False}, *APP["revisions"][1:]]
    stand_ins.install(tmp_path, {**APP, "revisions": revisions, "health": ["Unhealthy"]})
    process = run_script(tmp_path, "roll-out.sh", "prod", NEXT)

    assert (1, True) == (process.returncode, "eventfeed--1, which is not active" in process.stderr)
    assert [0, 0, 100, 0] == [each["weight"] for each in stand_ins.read_state(tmp_path)["revisions"]]


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


@pytest.mark.parametrize("command", ["az containerapp list", "az containerapp show", "az containerapp revision list"])
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
