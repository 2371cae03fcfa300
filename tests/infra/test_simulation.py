"""The life of each stack of the real program, simulated: foreseen, made, changed, reduced, taken down."""

import fcntl
import json
import os
import pickle
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.infra.planting import planted
from tests.infra.simulation.cloud import Refused
from tests.infra.simulation.simulation import ProgramFailed, Run, Simulation
from tests.infra.simulation.stack_files import EXAMPLE
from tests.infra.simulation.state import Goal
from tests.infra.simulation.wire import UNKNOWN, has_unknown, is_secret

NEXT = {**EXAMPLE, "image": f"eventfeed@sha256:{'2' * 64}"}
ELSEWHERE = {**EXAMPLE, "azure-native:location": "swedencentral"}
STACKS = ("dev", "prod")
AZURE = "azure-native:"
APP = f"{AZURE}app:ContainerApp"
ALERTS = "eventfeed:infra:Alerts"


class Life(NamedTuple):
    """The runs of a stack one after the other."""

    foreseen: Run
    # What the cloud held after the first preview.
    foreseen_ids: set[str]
    made: Run
    again: Run
    next_foreseen: Run
    next: Run
    reduced: Run
    # What was said to a move to another region, and to a first try to destroy the stack; "" where nothing is protected.
    refusals: tuple[str, str]
    # What was there before the stack moved or was refused to, after that, and when it was destroyed.
    ids: tuple[set[str], set[str], set[str]]
    ended: Run


@pytest.fixture(scope="session")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Life]:
    """The life of each stack, both at once, and once for all processes that test."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    kept = tmp_path_factory.getbasetemp().parent / f"lives-{run}"
    with kept.with_suffix(".lock").open("w") as lock, ThreadPoolExecutor() as threads:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            reduced = without_alerts(tmp_path_factory.mktemp("reduced"))
            found = threads.map(lambda stack: lived(stack, reduced), STACKS)
            kept.write_bytes(pickle.dumps(dict(zip(STACKS, found, strict=True))))
    return pickle.loads(kept.read_bytes())  # type: ignore[no-any-return]  # noqa: S301  # our own, of a moment ago


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> str:
    """Each stack."""
    return str(request.param)


@pytest.fixture
def life(lives: Mapping[str, Life], stack: str) -> Life:
    """A stack's life."""
    return lives[stack]


def lived(name: str, reduced_project: Path) -> Life:
    """One life of a stack, from an empty subscription to an empty subscription."""
    with Simulation(name) as stack:
        foreseen, foreseen_ids = stack.preview(EXAMPLE), stack.cloud.ids
        made, again = stack.up(EXAMPLE), stack.up(EXAMPLE)
        next_foreseen, following = stack.preview(NEXT), stack.up(NEXT)
        reduced, ids = stack.up(NEXT, root=reduced_project), stack.cloud.ids
        # Where something is protected, `pulumi up` goes no further than its preview.
        move, end = stack.preview if protects(stack) else stack.up, stack.destroy if protects(stack) else list
        refusals, moved_ids = (refused(lambda: move(ELSEWHERE, root=reduced_project)), refused(end)), stack.cloud.ids
        stack.unprotect()
        ended = stack.destroy()
        return Life(
            foreseen=foreseen,
            foreseen_ids=foreseen_ids,
            made=made,
            again=again,
            next_foreseen=next_foreseen,
            next=following,
            reduced=reduced,
            refusals=refusals,
            ids=(ids, moved_ids, stack.cloud.ids),
            ended=ended,
        )


def protects(stack: Simulation) -> bool:
    """Whether anything is protected."""
    return any(state.goal.protect for state in stack.state.values())


def refused(verb: Callable[[], object]) -> str:
    """What is said to what is refused; "" when it is not."""
    try:
        verb()
    except (ProgramFailed, Refused) as refusal:
        return str(refusal)
    return ""


def without_alerts(folder: Path) -> Path:
    """The project without its alerts."""
    return planted(folder, file="infra/__main__.py", sound="\nAlerts(", faulty="\n_ = (")


def test_a_preview_touches_nothing(life: Life) -> None:
    """It asks nobody to make anything."""
    assert set() == life.foreseen_ids


def test_a_preview_foresees_the_whole_graph(life: Life) -> None:
    """With everything unknown that is known only afterwards: the same resources, in the same places and order."""
    foreseen = {urn: replace(goal, inputs={}) for urn, goal in life.foreseen.goals.items()}
    made = {urn: replace(goal, inputs={}) for urn, goal in life.made.goals.items()}

    assert foreseen == made


def test_what_a_preview_knows_comes_true(life: Life) -> None:
    """Each input is then what it was said to be, or was unknown; and what was secret is secret."""
    untrue = {
        urn: goal.inputs
        for urn, goal in life.foreseen.goals.items()
        if not comes_true(goal.inputs, life.made.goals[urn].inputs)
    }

    assert {} == untrue
    assert any(has_unknown(goal.inputs) for goal in life.foreseen.goals.values())


def comes_true(foreseen: Any, made: Any) -> bool:
    """Whether a value is as foreseen, as far as it was known."""
    if isinstance(foreseen, Mapping) and isinstance(made, Mapping):
        return foreseen.keys() == made.keys() and all(comes_true(foreseen[key], made[key]) for key in made)
    if isinstance(foreseen, list) and isinstance(made, list):
        return len(foreseen) == len(made) and all(map(comes_true, foreseen, made))
    return bool(foreseen in (UNKNOWN, made))


def test_everything_is_made_once(life: Life) -> None:
    """The first run creates each resource and does nothing else."""
    assert life.made.goals.keys() == life.made.urns("create") == life.made.changes


def test_a_second_run_changes_nothing(life: Life) -> None:
    """What is there is as it should be."""
    assert set() == life.again.changes
    assert life.made.outputs == life.again.outputs


def test_another_image_changes_the_app_alone(life: Life) -> None:
    """Foreseen and done."""
    app = {urn for urn, goal in life.next.goals.items() if goal.token == APP}

    assert 1 == len(app)
    assert (app, app) == (life.next_foreseen.changes, life.next.changes)
    assert app == life.next.urns("update")


def test_a_component_that_is_removed_takes_only_its_own_with_it(life: Life) -> None:
    """Each of its resources, those that need others first; the rest stays as it is."""
    own = {urn for urn in life.made.goals if ALERTS in urn}

    assert own
    assert own == life.reduced.urns("delete") == life.reduced.changes


def test_dependents_go_before_what_they_depend_on(life: Life) -> None:
    """When a component is removed, and at the end."""
    for run in (life.reduced, life.ended):
        gone = [step.urn for step in run.steps if step.verb == "delete"]
        late = {
            (urn, needed)
            for urn in gone
            for needed in needs(life.made.goals[urn])
            if needed in gone and gone.index(needed) < gone.index(urn)
        }

        assert set() == late


def needs(goal: Goal) -> set[str]:
    """What a resource needs: its parent and what it depends on."""
    return {goal.parent, *goal.dependencies} - {""}


def test_the_end_leaves_nothing(life: Life) -> None:
    """Once nothing is protected any more."""
    *before, after = life.ids

    assert all(before)
    assert set() == after


def test_no_secret_travels_in_the_clear(life: Life) -> None:
    """No value that is marked secret anywhere is found unmarked in what is registered or given out."""
    everything = [*(goal.inputs for goal in life.made.goals.values()), life.made.outputs]
    clear = json.dumps([unmarked(each) for each in everything])
    secrets = {each for inputs in everything for each in texts(inputs)}

    assert secrets
    assert set() == {each for each in secrets if json.dumps(each)[1:-1] in clear}


def unmarked(value: Any) -> Any:
    """A value without what is marked secret in it."""
    if is_secret(value):
        return None
    if isinstance(value, Mapping):
        return {key: unmarked(each) for key, each in value.items()}
    return [unmarked(each) for each in value] if isinstance(value, list) else value


def texts(value: Any, *, secret: bool = False) -> Iterator[str]:
    """The texts in a value that are marked secret."""
    if is_secret(value):
        yield from texts(value["value"], secret=True)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from texts(each, secret=secret)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each, secret=secret)
    elif secret and isinstance(value, str):
        yield value


def test_production_neither_moves_nor_ends(lives: Mapping[str, Life]) -> None:
    """Its data is protected: what would replace or delete it is refused, and everything stays."""
    move, end = lives["prod"].refusals
    before, after, _ = lives["prod"].ids

    assert "is protected and cannot be replaced" in move
    assert "is protected and cannot be deleted" in end
    assert before == after


def test_development_moves_to_another_region_whole(lives: Mapping[str, Life]) -> None:
    """What cannot move is made there anew, and nothing stays behind."""
    before, after, _ = lives["dev"].ids

    assert ("", "") == lives["dev"].refusals
    assert set() == before & after
    assert len(before) == len(after)


def test_a_stack_begins_without_an_image_and_goes_on_without_touching_what_is_there() -> None:
    """First nothing runs; then what the registry builds; then a second signing key, and the first one goes."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    built = {**EXAMPLE, "image": "", "source": f"https://example.no/eventfeed.git#{commit}"}
    with Simulation("dev") as stack:
        stack.up({**EXAMPLE, "image": "none"})
        first = stack.up(built)
        joined = stack.up({**built, "signingKeys": "2026-12 2027-06"})
        left = stack.up({**built, "signingKeys": "2027-06"})
        stack.destroy()

        assert first.changes == first.urns("create")
        assert {APP, f"{AZURE}containerregistry:TaskRun"} <= tokens(first, "create")
        assert ({APP}, {APP}) == (tokens(joined, "update"), tokens(left, "update"))
        assert {f"{AZURE}keyvault:Secret", "tls:index/privateKey:PrivateKey"} == tokens(joined, "create")
        assert [] == sorted(stack.cloud.ids)


def tokens(run: Run, verb: str) -> set[str]:
    """The types of the resources that a run did this with."""
    return {run.goals[urn].token for urn in run.urns(verb)}
