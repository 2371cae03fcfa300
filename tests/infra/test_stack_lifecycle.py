"""The lifecycle of each stack of the real program in the simulation, from its first preview to its destruction."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.infra.mutant_project import Mutation, create_mutant_project
from tests.infra.session_cache import SessionCache
from tests.infra.simulation.cloud import Cloud, RejectedError
from tests.infra.simulation.simulation import ProgramError, Run, Simulation
from tests.infra.simulation.stack_files import EXAMPLE_SETTINGS
from tests.infra.simulation.state import Goal
from tests.infra.simulation.wire import UNKNOWN, has_unknown, is_secret

NEXT_IMAGE = {**EXAMPLE_SETTINGS, "image": f"eventfeed@sha256:{'2' * 64}"}
OTHER_REGION = {**EXAMPLE_SETTINGS, "azure-native:location": "swedencentral"}
AZURE = "azure-native:"
APP = f"{AZURE}app:ContainerApp"
ALERTS = "eventfeed:infra:Alerts"
# Two subnets keep a link for a while.
DESTROY_ATTEMPTS_MAX = 3
WITHOUT_ALERTS = Mutation("infra/__main__.py", "\nAlerts(", "\n_ = (")


class Lifecycle(NamedTuple):
    """The runs of a stack in order, and the resource ids in the cloud between them."""

    preview: Run
    ids_after_preview: set[str]
    first_up: Run
    second_up: Run
    # With another image.
    next_preview: Run
    next_up: Run
    # Without a component.
    smaller_up: Run
    ids_before_move: set[str]
    # The errors of a move to another region and of a destruction; "" for a stack without protection.
    move_error: str
    destroy_error: str
    ids_after_move: set[str]
    # The errors of destructions while a subnet was still in use, and the last destruction.
    link_errors: Sequence[str]
    destroy: Run
    ids_after_destroy: set[str]


class FirstRelease(NamedTuple):
    """The runs of a stack that starts without an image, and the resource ids at its end."""

    first_image: Run
    second_key: Run
    last_key: Run
    # With a subscription key, without it, and with it again.
    subscription_keys: Sequence[Run]
    ids_after_destroy: set[str]


@pytest.fixture(scope="session", params=["dev", "prod"])
def lifecycle(request: pytest.FixtureRequest, session_cache: SessionCache) -> Lifecycle:
    """The lifecycle of each stack."""
    return session_cache.get(request.param, lambda: run_lifecycle(request.param), meanwhile=COMPUTATIONS)


@pytest.fixture(scope="session")
def dev_lifecycle(session_cache: SessionCache) -> Lifecycle:
    """The lifecycle of the development stack."""
    return session_cache.get("dev", lambda: run_lifecycle("dev"), meanwhile=COMPUTATIONS)


@pytest.fixture(scope="session")
def prod_lifecycle(session_cache: SessionCache) -> Lifecycle:
    """The lifecycle of the production stack."""
    return session_cache.get("prod", lambda: run_lifecycle("prod"), meanwhile=COMPUTATIONS)


@pytest.fixture(scope="session")
def first_release(session_cache: SessionCache) -> FirstRelease:
    """A development stack from its start without an image to its destruction."""
    return session_cache.get("first release", run_first_release, meanwhile=COMPUTATIONS)


def run_lifecycle(name: str) -> Lifecycle:
    """Run a stack's lifecycle, from an empty subscription to an empty subscription."""
    with tempfile.TemporaryDirectory() as folder, Simulation(name, Cloud(keeps_links=True)) as stack:
        without_alerts = create_mutant_project(Path(folder), WITHOUT_ALERTS)
        preview, ids_after_preview = stack.preview(EXAMPLE_SETTINGS), stack.cloud.ids
        first_up, second_up = stack.up(EXAMPLE_SETTINGS), stack.up(EXAMPLE_SETTINGS)
        next_preview, next_up = stack.preview(NEXT_IMAGE), stack.up(NEXT_IMAGE)
        smaller_up, ids_before_move = stack.up(NEXT_IMAGE, root=without_alerts), stack.cloud.ids
        # `pulumi up` starts with a preview, which ends it when a protected resource would be replaced.
        is_protected = any(state.goal.protect for state in stack.state.values())
        move = stack.preview if is_protected else stack.up
        move_error = error_of(lambda: move(OTHER_REGION, root=without_alerts))
        destroy_error = error_of(stack.destroy) if is_protected else ""
        ids_after_move = stack.cloud.ids
        stack.unprotect()
        link_errors, destroy = destroy_completely(stack)
        return Lifecycle(
            preview=preview,
            ids_after_preview=ids_after_preview,
            first_up=first_up,
            second_up=second_up,
            next_preview=next_preview,
            next_up=next_up,
            smaller_up=smaller_up,
            ids_before_move=ids_before_move,
            move_error=move_error,
            destroy_error=destroy_error,
            ids_after_move=ids_after_move,
            link_errors=link_errors,
            destroy=destroy,
            ids_after_destroy=stack.cloud.ids,
        )


def destroy_completely(stack: Simulation) -> tuple[Sequence[str], Run]:
    """Destroy a stack, again after each error. Returns the errors, and the run that was successful."""
    errors = list[str]()
    for _ in range(DESTROY_ATTEMPTS_MAX):
        try:
            return errors, stack.destroy()
        except RejectedError as error:
            errors.append(str(error))
    raise AssertionError(errors)


def run_first_release() -> FirstRelease:
    """Start a stack without an image, deploy one, add a signing key and remove the first one."""
    with Simulation("dev") as stack:
        stack.up({**EXAMPLE_SETTINGS, "image": "none"})
        first_image = stack.up(EXAMPLE_SETTINGS)
        second_key = stack.up({**EXAMPLE_SETTINGS, "signingKeys": "2026-12 2027-06"})
        last_key = stack.up({**EXAMPLE_SETTINGS, "signingKeys": "2027-06"})
        settings = {**EXAMPLE_SETTINGS, "signingKeys": "2027-06"}
        with_key = {**settings, "platformSubscriptionKey": {"secure": "…"}}
        subscription_keys = [stack.up(each) for each in (with_key, settings, with_key)]
        stack.destroy()
        return FirstRelease(first_image, second_key, last_key, subscription_keys, stack.cloud.ids)


# Each takes some twenty seconds: a process that waits for one computes another.
COMPUTATIONS = (
    ("prod", lambda: run_lifecycle("prod")),
    ("dev", lambda: run_lifecycle("dev")),
    ("first release", run_first_release),
)


def error_of(function: Callable[[], object]) -> str:
    """Return the message of the function's error; "" when it succeeds."""
    try:
        function()
    except (ProgramError, RejectedError) as error:
        return str(error)
    return ""


def tokens(run: Run, verb: str) -> set[str]:
    """Return the types of the resources with this step."""
    return {run.goals[urn].token for urn in run.urns(verb)}


def test_preview_creates_no_resource(lifecycle: Lifecycle) -> None:
    """The cloud is empty after the first preview."""
    assert set() == lifecycle.ids_after_preview


def test_preview_registers_the_same_graph_as_up(lifecycle: Lifecycle) -> None:
    """With unknown values, the program registers the same resources with the same parents and dependencies."""
    preview = {urn: replace(goal, inputs={}) for urn, goal in lifecycle.preview.goals.items()}
    up = {urn: replace(goal, inputs={}) for urn, goal in lifecycle.first_up.goals.items()}

    assert preview == up


def test_known_inputs_of_a_preview_do_not_change(lifecycle: Lifecycle) -> None:
    """Each input of the following `up` equals that of the preview or was unknown; secret marks are the same."""
    differences = {
        urn: goal.inputs
        for urn, goal in lifecycle.preview.goals.items()
        if not agrees(goal.inputs, lifecycle.first_up.goals[urn].inputs)
    }

    assert {} == differences
    assert any(has_unknown(goal.inputs) for goal in lifecycle.preview.goals.values())


def agrees(preview: Any, value: Any) -> bool:
    """Return True if a value equals its preview, apart from what was unknown there."""
    if isinstance(preview, Mapping) and isinstance(value, Mapping):
        return preview.keys() == value.keys() and all(agrees(preview[key], value[key]) for key in value)
    if isinstance(preview, list) and isinstance(value, list):
        return len(preview) == len(value) and all(map(agrees, preview, value))
    return bool(preview in (UNKNOWN, value))


def test_first_up_creates_every_resource_once(lifecycle: Lifecycle) -> None:
    """There are no other steps."""
    run = lifecycle.first_up

    assert run.goals.keys() == run.urns("create") == run.changes


def test_second_up_changes_no_resource(lifecycle: Lifecycle) -> None:
    """The program is deterministic, and so are its outputs."""
    assert set() == lifecycle.second_up.changes
    assert lifecycle.first_up.outputs == lifecycle.second_up.outputs


def test_new_image_updates_the_app_alone(lifecycle: Lifecycle) -> None:
    """The preview shows the same step."""
    app = {urn for urn, goal in lifecycle.next_up.goals.items() if goal.token == APP}

    assert 1 == len(app)
    assert (app, app) == (lifecycle.next_preview.changes, lifecycle.next_up.changes)
    assert app == lifecycle.next_up.urns("update")


def test_removed_component_deletes_only_its_resources(lifecycle: Lifecycle) -> None:
    """Every resource of the component is deleted; all others stay the same."""
    component = {urn for urn in lifecycle.first_up.goals if ALERTS in urn}

    assert component
    assert component == lifecycle.smaller_up.urns("delete") == lifecycle.smaller_up.changes


def test_dependents_are_deleted_before_their_dependencies(lifecycle: Lifecycle) -> None:
    """This holds for a removed component and for the whole stack."""
    for run in (lifecycle.smaller_up, lifecycle.destroy):
        deletions = [step.urn for step in run.steps if step.verb == "delete"]
        wrong_order = {
            (urn, dependency)
            for urn in deletions
            for dependency in needs(lifecycle.first_up.goals[urn])
            if dependency in deletions and deletions.index(dependency) < deletions.index(urn)
        }

        assert set() == wrong_order


def needs(goal: Goal) -> set[str]:
    """Return the parent and the dependencies of a resource."""
    return {goal.parent, *goal.dependencies} - {""}


def test_destroy_leaves_no_resource(lifecycle: Lifecycle) -> None:
    """Without protection, the cloud is empty again."""
    assert lifecycle.ids_before_move
    assert lifecycle.ids_after_move
    assert set() == lifecycle.ids_after_destroy


def test_secret_values_are_never_sent_unmarked(lifecycle: Lifecycle) -> None:
    """A value that is marked secret in any input or output is in none of them without the mark."""
    properties = [*(goal.inputs for goal in lifecycle.first_up.goals.values()), lifecycle.first_up.outputs]
    plain_text = json.dumps([without_secrets(each) for each in properties])
    secrets = {text for each in properties for text in secret_texts(each)}

    assert secrets
    assert set() == {each for each in secrets if json.dumps(each)[1:-1] in plain_text}


def without_secrets(value: Any) -> Any:
    """Return the value without its secret parts."""
    if is_secret(value):
        return None
    if isinstance(value, Mapping):
        return {key: without_secrets(each) for key, each in value.items()}
    return [without_secrets(each) for each in value] if isinstance(value, list) else value


def secret_texts(value: Any, *, in_secret: bool = False) -> Iterator[str]:
    """Yield the texts in a value that are marked secret."""
    if is_secret(value):
        yield from secret_texts(value["value"], in_secret=True)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from secret_texts(each, in_secret=in_secret)
    elif isinstance(value, list):
        for each in value:
            yield from secret_texts(each, in_secret=in_secret)
    elif in_secret and isinstance(value, str):
        yield value


def test_production_refuses_to_move_or_to_be_destroyed(prod_lifecycle: Lifecycle) -> None:
    """Its data is protected: both are rejected and change nothing."""
    assert "is protected and cannot be replaced" in prod_lifecycle.move_error
    assert "is protected and cannot be deleted" in prod_lifecycle.destroy_error
    assert prod_lifecycle.ids_before_move == prod_lifecycle.ids_after_move


def test_development_moves_to_another_region_completely(dev_lifecycle: Lifecycle) -> None:
    """Every resource is replaced, and none remains in the old region."""
    before, after = dev_lifecycle.ids_before_move, dev_lifecycle.ids_after_move

    assert ("", "") == (dev_lifecycle.move_error, dev_lifecycle.destroy_error)
    assert set() == before & after
    assert len(before) == len(after)


def test_first_image_only_creates_resources(first_release: FirstRelease) -> None:
    """The stack without an image is complete but for the service; nothing of it changes."""
    run = first_release.first_image

    assert run.changes == run.urns("create")
    assert APP in tokens(run, "create")


def test_key_rotation_updates_the_app_alone(first_release: FirstRelease) -> None:
    """A new signing key adds a key and a secret; each step of the rotation updates only the app."""
    second_key, last_key = first_release.second_key, first_release.last_key

    assert ({APP}, {APP}) == (tokens(second_key, "update"), tokens(last_key, "update"))
    assert {f"{AZURE}keyvault:Secret", "tls:index/privateKey:PrivateKey"} == tokens(second_key, "create")
    assert set() == first_release.ids_after_destroy


def test_subscription_key_can_be_removed_and_set_again(first_release: FirstRelease) -> None:
    """A secret of the vault is kept, and Azure refuses to create it again: so its value changes, and the app."""
    steps = [(tokens(run, "create"), tokens(run, "update")) for run in first_release.subscription_keys]

    assert [(set(), {APP, f"{AZURE}keyvault:Secret"})] * 3 == steps


def test_secret_that_was_kept_cannot_be_created_again(tmp_path: Path) -> None:
    """The mutant creates the secret only while there is a key; the simulation plays Azure's refusal."""
    key = "stack.platform.subscription_key"
    conditional = f"**({{}} if {key} is None else {{SUBSCRIPTION: {key}}}),"
    mutant = Mutation("infra/components/vault.py", f"SUBSCRIPTION: {key} or NO_SUBSCRIPTION,", conditional)
    root, settings = create_mutant_project(tmp_path, mutant), {**EXAMPLE_SETTINGS, "image": "none"}
    with_key = {**settings, "platformSubscriptionKey": {"secure": "…"}}
    with Simulation("dev") as stack:
        stack.up(with_key, root=root)
        stack.up(settings, root=root)

        with pytest.raises(ProgramError, match="platform-subscription already exists"):
            stack.up(with_key, root=root)


def test_subnet_that_was_used_is_deleted_by_a_later_attempt(prod_lifecycle: Lifecycle) -> None:
    """The subnets of the gateway and of the apps each end a destruction; the next one continues with what is left."""
    assert 2 == len(prod_lifecycle.link_errors)
    assert all("InUseSubnetCannotBeDeleted" in each for each in prod_lifecycle.link_errors)
    assert prod_lifecycle.destroy.urns("delete") < prod_lifecycle.first_up.goals.keys()
