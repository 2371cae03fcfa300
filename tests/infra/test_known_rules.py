"""The rules that a review of `infra/` found, each with the tests that hold it and the test of a planted fault."""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.infra.test_azure_rules import INPUT_FAULTS, PROGRAM_FAULTS

TESTS = Path(__file__).parent


class Proof(NamedTuple):
    """A requirement, the rules of the simulation that hold it, and the tests outside of it that hold or break it.

    A rule of the simulation is kept by the program and has a planted fault (test_azure_rules.py). The tests of another
    requirement are those that the project passes and those that detect a planted fault.
    """

    requirement: str
    rules: Sequence[str] = ()
    tests: Sequence[str] = ()
    fault_tests: Sequence[str] = ()


PROOFS = {
    1: Proof("A policy fetches only what is ready.", ["a policy fetches only what is ready"]),
    2: Proof("A task run fails after its build.", ["a task run fails after its build"]),
    3: Proof(
        "A build without a login at Docker Hub is refused.",
        tests=["test_scripts.test_image_is_built_on_the_base_of_the_registry"],
        fault_tests=["test_scripts.test_build_on_a_base_of_docker_hub_fails"],
    ),
    4: Proof("A budget starts this month or later.", ["a budget starts this month or later"]),
    5: Proof(
        "An API version ends.",
        tests=["test_dates.test_every_entry_has_a_date_a_source_and_a_way_out"],
        fault_tests=["test_dates.test_every_pinned_version_has_one_entry"],
    ),
    6: Proof(
        "A scheduled job waits for the reviewers of its environment.",
        tests=["test_workflows.test_jobs_of_one_stack_run_one_after_another"],
        fault_tests=["test_workflows.test_scheduled_jobs_never_wait_for_an_approval"],
    ),
    7: Proof("An API of the gateway takes one write at a time.", ["one write at a time to one api"]),
    8: Proof(
        "An app with a CPU rule never scales to zero.",
        ["a cpu rule never scales to zero", "an http rule stands alone"],
    ),
    9: Proof(
        "A secret that a vault kept cannot be created again.",
        tests=["test_stack_lifecycle.test_subscription_key_can_be_removed_and_set_again"],
        fault_tests=["test_stack_lifecycle.test_secret_that_was_kept_cannot_be_created_again"],
    ),
    10: Proof("Container Apps needs every protocol in its subnet.", ["replicas reach each other by any protocol"]),
    11: Proof(
        "The SDK sends inputs that no line names.",
        ["portals are closed", "client certificates are a choice of consumption"],
        tests=["test_sdk_defaults.test_inputs_that_the_program_does_not_name_are_listed"],
        fault_tests=["test_sdk_defaults.test_input_of_the_sdk_is_found"],
    ),
    12: Proof(
        "`pulumi up` does not wait for the health of a revision.",
        tests=["test_scripts.test_healthy_image_gets_the_traffic_in_steps"],
        fault_tests=["test_scripts.test_traffic_goes_back_from_an_image_that_is_not_healthy"],
    ),
    13: Proof(
        "A private name resolves once its zone is linked.",
        ["names of private resources resolve", "a named value reads no private vault"],
    ),
    14: Proof(
        "A delegated subnet keeps a link for a while.",
        tests=["test_stack_lifecycle.test_destroy_leaves_no_resource"],
        fault_tests=["test_stack_lifecycle.test_subnet_that_was_used_is_deleted_by_a_later_attempt"],
    ),
    15: Proof(
        "A region has zones and tiers.",
        ["a region exists", "zones need a region with zones", "tiers of version 2 have regions"],
    ),
    16: Proof("`on-error` takes listed statements only.", ["errors are handled by listed statements"]),
    17: Proof(
        "Reviewers of a private repository need GitHub Enterprise.",
        fault_tests=["test_workflows.test_documentation_names_the_environments_with_reviewers"],
        tests=["test_workflows.test_documentation_names_the_environments_with_reviewers"],
    ),
}


def is_test(name: str) -> bool:
    """Return True if the module of the test defines it."""
    module, _, function = name.partition(".")
    tree = ast.parse((TESTS / f"{module}.py").read_text())
    return any(isinstance(each, ast.FunctionDef) and each.name == function for each in tree.body)


def unproven(proofs: dict[int, Proof]) -> list[int]:
    """Return the numbers of requirements that no rule and no pair of tests proves."""
    faults = {*PROGRAM_FAULTS, *INPUT_FAULTS}
    return [
        number
        for number, proof in proofs.items()
        if not ((proof.rules or (proof.tests and proof.fault_tests)) and set(proof.rules) <= faults)
        or not all(is_test(each) for each in (*proof.tests, *proof.fault_tests))
    ]


def test_every_known_rule_is_kept_and_has_a_planted_fault() -> None:
    """None of the seventeen is missing, and each names rules or tests that exist."""
    assert list(range(1, 18)) == list(PROOFS)
    assert [] == unproven(PROOFS)


def test_rule_without_a_proof_is_found() -> None:
    """A rule, a test or a test of a fault that does not exist is no proof."""
    faulty = {
        1: Proof("No rule."),
        2: Proof("Another rule.", ["a rule that does not exist"]),
        3: Proof("No fault.", tests=["test_dates.test_end_is_near_from_60_days_before"]),
        4: Proof("No such test.", ["a region exists"], tests=["test_dates.test_of_nothing"]),
    }

    assert [1, 2, 3, 4] == unproven(faulty)
