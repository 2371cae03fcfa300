"""A second region of production: what it adds, and the rehearsal of its runbook (docs/deploy.md)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.infra.mock_run import AZURE, MockRun, RegisteredResource
from tests.infra.mutant_project import Mutation, create_mutant_project
from tests.infra.rule_check import cloud_of
from tests.infra.session_cache import SessionCache
from tests.infra.session_runs import SessionRuns
from tests.infra.simulation.cloud import RejectedError
from tests.infra.simulation.regions import OutageError, Receipt, Regions
from tests.infra.simulation.simulation import ProgramError, Run, Simulation
from tests.infra.simulation.stack_files import EXAMPLE_SETTINGS, REGION_SETTINGS

FIRST, SECOND = "norwayeast", REGION_SETTINGS["secondLocation"]
TWO_REGIONS = {**EXAMPLE_SETTINGS, **REGION_SETTINGS}
STORE, APP = "cosmosdb:DatabaseAccount", "app:ContainerApp"
STANDBY = "eventfeed:infra:Standby"
NEXT_IMAGE = {**TWO_REGIONS, "image": f"eventfeed@sha256:{'2' * 64}"}


@pytest.fixture(scope="module")
def run(session_runs: SessionRuns) -> MockRun:
    """The production stack with a second region."""
    return session_runs.get("prod", REGION_SETTINGS)


def standby_of(run: MockRun, token: str) -> RegisteredResource:
    """Return the only resource of a type in the second region."""
    (resource,) = [each for each in run.of(token) if STANDBY in each.urn]
    return resource


def inputs_by_urn(run: MockRun) -> Mapping[str, str]:
    """Return the inputs of each resource as text."""
    return {each.urn: json.dumps(each.plain, sort_keys=True) for each in run.resources}


def test_second_region_changes_only_the_store_and_the_choice_of_backend(prod: MockRun, run: MockRun) -> None:
    """Every other resource of one region is there with the same inputs; what is new has a component or a name."""
    before, after = inputs_by_urn(prod), inputs_by_urn(run)
    changes = {urn.split("::")[2].rpartition("$")[2] for urn in before if before[urn] != after[urn]}
    additions = {urn.split("::")[2].rpartition("$")[2] for urn in after.keys() - before.keys() if STANDBY not in urn}

    assert {f"{AZURE}{STORE}", f"{AZURE}apimanagement:PolicyFragment"} == changes
    assert {f"{AZURE}containerregistry:Replication", f"{AZURE}apimanagement:Backend"} == additions


def test_stack_without_a_second_region_has_nothing_of_it(dev: MockRun, prod: MockRun) -> None:
    """Each stack has one group, one region of the store, one backend and one network at most."""
    for each in (dev, prod):
        assert 1 == len(each.one(STORE).plain["locations"])
        assert ["service"] == [backend.name for backend in each.of("apimanagement:Backend")]
        assert 1 == len(each.of("resources:ResourceGroup")) == len(each.of(APP))
        assert [] == [*each.of("containerregistry:Replication"), *each.of("network:VirtualNetworkPeering")]


def test_store_of_two_regions_acknowledges_only_what_both_have(run: MockRun) -> None:
    """Strong consistency with one writer; Azure takes a lost region out, so that the other one accepts writes."""
    account = run.one(STORE).plain

    assert [
        {"locationName": FIRST, "failoverPriority": 0, "isZoneRedundant": True},
        {"locationName": SECOND, "failoverPriority": 1, "isZoneRedundant": True},
    ] == account["locations"]
    assert "Strong" == account["consistencyPolicy"]["defaultConsistencyLevel"]
    assert (False, True) == (account["enableMultipleWriteLocations"], account["enableAutomaticFailover"])


def test_second_region_has_a_group_a_network_and_an_app_of_its_own(run: MockRun) -> None:
    """Nothing of it is in the first region or its group, but for the peering of the first network."""
    standby = [each for each in run.azure if STANDBY in each.urn]
    group = standby_of(run, "resources:ResourceGroup")
    elsewhere = [each.name for each in standby if not each.id.startswith(group.id)]

    assert {SECOND, "global"} == {each.plain["location"] for each in standby if "location" in each.plain}
    assert ["to-standby"] == elsewhere
    assert {"store", "vault", "registry"} == {
        each.name for each in run.of("network:PrivateEndpoint") if STANDBY in each.urn
    }
    assert ["10.41.0.0/16"] == standby_of(run, "network:VirtualNetwork").plain["addressSpace"]["addressPrefixes"]


def test_app_of_the_second_region_differs_only_in_its_place_and_replicas(run: MockRun) -> None:
    """Its minimum is one replica: without one it could take over only after a start."""
    standby = standby_of(run, APP).plain
    (first,) = [each.plain for each in run.of(APP) if STANDBY not in each.urn]
    places = {"environmentId", "resourceGroupName", "location", "template"}

    assert {key for key in first if first[key] != standby[key]} == places
    assert {key for key in first["template"] if first["template"][key] != standby["template"][key]} == {"scale"}
    assert (1, 6) == tuple(standby["template"]["scale"][key] for key in ("minReplicas", "maxReplicas"))


def test_release_in_steps_reaches_the_standby_at_once(session_runs: SessionRuns) -> None:
    """The stable revision is one of the first app; a name that the other app lacks would be refused."""
    run = session_runs.get("prod", {**REGION_SETTINGS, "stableRevision": "eventfeed--a", "newestWeight": "10"})

    assert [(True, 100)] == [
        (each["latestRevision"], each["weight"])
        for each in standby_of(run, APP).plain["configuration"]["ingress"]["traffic"]
    ]


def test_only_the_gateway_of_the_first_network_reaches_the_second_app(run: MockRun) -> None:
    """Both apps accept the gateway's subnet; the name of the second one resolves in both networks."""
    sources = {
        each.plain["securityRules"][0]["sourceAddressPrefix"]
        for each in run.of("network:NetworkSecurityGroup")
        if each.name == "apps"
    }
    links = [each for each in run.of("privatedns:VirtualNetworkLink") if STANDBY in each.urn and "apps" in each.name]
    networks = {each.id for each in run.of("network:VirtualNetwork")}

    assert {"10.40.2.0/24"} == sources
    assert networks == {each.plain["virtualNetwork"]["id"] for each in links}
    assert networks == {each.plain["remoteVirtualNetwork"]["id"] for each in run.of("network:VirtualNetworkPeering")}


@pytest.mark.parametrize(("serving", "order"), [("", ["service", "standby"]), (SECOND, ["standby", "service"])])
def test_gateway_prefers_the_app_of_the_serving_region(
    session_runs: SessionRuns, serving: str, order: Sequence[str]
) -> None:
    """It is the first one of the pool; the other one serves while the circuit breaker of the first is open."""
    run = session_runs.get("prod", {**REGION_SETTINGS, "servingLocation": serving})
    pool = run.one("apimanagement:Backend", "regions").plain["pool"]["services"]
    members = [run.one("apimanagement:Backend", name) for name in order]

    assert [{"id": each.id, "priority": rank} for rank, each in enumerate(members, 1)] == pool
    assert all(each.plain["circuitBreaker"]["rules"] for each in members)
    assert 'backend-id="regions"' in run.one("apimanagement:PolicyFragment", "to-service").plain["value"]


class Rehearsal(NamedTuple):
    """The runbook of a production stack in order: what was acknowledged, the runs, and the store's order."""

    receipts: Sequence[Receipt]
    events: Sequence[str]
    # During the loss of the first region: a planned failover, and a run without a refresh.
    early_failover_error: str
    release: Run
    order_after_release: Sequence[str]
    # After it.
    refresh: set[str]
    up: Run
    # The way back, and the loss of the second region.
    refresh_back: set[str]
    up_back: Run
    order_back: Sequence[str]
    order_without_second: Sequence[str]
    switch: Run


@pytest.fixture(scope="module")
def rehearsal(session_cache: SessionCache) -> Rehearsal:
    """The rehearsal of both losses and of a planned failover."""
    return session_cache.get("second region", rehearse)


def rehearse() -> Rehearsal:
    """Lose the first region, release, bring it back, fail back, and lose the second one."""
    with Simulation("prod") as stack:
        stack.up(TWO_REGIONS)
        regions = Regions(stack.cloud)
        receipts = [regions.publish("before")]
        regions.lose(FIRST)
        receipts.append(regions.publish("first is lost"))
        with pytest.raises(RejectedError) as early_failover:
            regions.fail_over(FIRST)
        release = stack.up(NEXT_IMAGE)
        order_after_release = regions.order
        receipts.append(regions.publish("released"))
        regions.restore(FIRST)
        refresh, up = stack.refresh(), stack.up(NEXT_IMAGE)
        receipts.append(regions.publish("first is back"))
        regions.fail_over(FIRST)
        refresh_back, up_back, order_back = stack.refresh(), stack.up(NEXT_IMAGE), regions.order
        receipts.append(regions.publish("failed back"))
        regions.lose(SECOND)
        receipts.append(regions.publish("second is lost"))
        order_without_second = regions.order
        regions.restore(SECOND)
        switch = stack.up({**NEXT_IMAGE, "servingLocation": SECOND})
        receipts.append(regions.publish("switched"))
        return Rehearsal(
            receipts,
            regions.events,
            str(early_failover.value),
            release,
            order_after_release,
            refresh,
            up,
            refresh_back,
            up_back,
            order_back,
            order_without_second,
            switch,
        )


def test_writes_continue_in_the_other_region(rehearsal: Rehearsal) -> None:
    """Each loss leaves an app and a writer, without a command. A planned switch moves the app and not the writer."""
    assert [
        (FIRST, FIRST),
        (SECOND, SECOND),
        (SECOND, SECOND),
        (FIRST, SECOND),
        (FIRST, FIRST),
        (FIRST, FIRST),
        (SECOND, FIRST),
    ] == [(each.app, each.writer) for each in rehearsal.receipts]
    assert [FIRST, SECOND] == rehearsal.order_without_second


def test_no_acknowledged_event_is_lost(rehearsal: Rehearsal) -> None:
    """The log has every event with a receipt, in order: no new log is needed."""
    assert [each.event for each in rehearsal.receipts] == rehearsal.events


def test_failover_during_an_outage_is_refused(rehearsal: Rehearsal) -> None:
    """Azure's own failover does it. The runbook must not ask for a planned one."""
    assert f"{FIRST} is lost" in rehearsal.early_failover_error


def test_up_after_a_failover_does_not_fail_back(rehearsal: Rehearsal) -> None:
    """A refresh finds the new order, `up` keeps it, and a release changes the apps alone."""
    assert [AZURE + STORE] == [urn.split("::")[2].rpartition("$")[2] for urn in rehearsal.refresh]
    assert rehearsal.refresh == rehearsal.refresh_back
    assert set() == rehearsal.up.changes == rehearsal.up_back.changes
    assert {AZURE + APP} == {rehearsal.release.goals[urn].token for urn in rehearsal.release.changes}
    assert [SECOND, FIRST] == rehearsal.order_after_release
    assert [FIRST, SECOND] == rehearsal.order_back


def test_switch_of_the_gateway_updates_the_pool_alone(rehearsal: Rehearsal) -> None:
    """No policy and no app changes."""
    assert {"regions"} == {rehearsal.switch.goals[urn].name for urn in rehearsal.switch.changes}


@pytest.mark.parametrize("lost", [FIRST, SECOND])
def test_store_without_automatic_failover_stops_writes(run: MockRun, lost: str) -> None:
    """A write needs both regions. The program's setting is what lets the other one go on."""
    regions = Regions(cloud_of(run))
    regions.update_account(enableAutomaticFailover=False)
    regions.lose(lost)

    with pytest.raises(OutageError, match="lost"):
        regions.publish("after")


@pytest.mark.parametrize("lost", [FIRST, SECOND])
def test_operator_takes_a_lost_region_out_before_azure_notices(run: MockRun, lost: str) -> None:
    """Writes stop until then, also if the lost region did not write. No event with a receipt is lost."""
    regions = Regions(cloud_of(run))
    regions.publish("before")
    regions.lose(lost, noticed=False)
    with pytest.raises(OutageError, match="lost"):
        regions.publish("refused")
    regions.take_offline(lost)
    receipt = regions.publish("after")

    assert {FIRST, SECOND} - {lost} == {receipt.writer}
    assert ["before", "after"] == regions.events


def test_store_without_strong_consistency_loses_an_acknowledged_event(run: MockRun) -> None:
    """The region that takes over has no event that the first one had not sent yet."""
    regions = Regions(cloud_of(run))
    regions.update_account(consistencyPolicy={"defaultConsistencyLevel": "Session"})
    regions.publish("acknowledged")
    regions.lose(FIRST)

    assert SECOND == regions.order[0]
    assert "acknowledged" not in regions.events


def test_program_that_states_the_order_fails_back(tmp_path: Path) -> None:
    """The mutant sends its order after a refresh, in the middle of an outage."""
    mutant = Mutation("infra/components/store.py", 'ignored = ["locations"] if', "ignored = None if")
    root, settings = create_mutant_project(tmp_path, mutant), {**TWO_REGIONS, "image": "none"}
    with Simulation("prod") as stack:
        stack.up(settings, root=root)
        regions = Regions(stack.cloud)
        regions.lose(FIRST)
        order = regions.order
        stack.refresh()
        stack.up(settings, root=root)

        assert [[SECOND, FIRST], [FIRST, SECOND]] == [order, regions.order]


class Change(NamedTuple):
    """The runs of a stack that gets a second region and loses it, and the inputs of its resources before and after."""

    before: Mapping[str, str]
    preview: Run
    up: Run
    again: Run
    early_removal_error: str
    removal: Run
    after: Mapping[str, str]


@pytest.fixture(scope="module")
def change(session_cache: SessionCache) -> Change:
    """A production stack of one region that gets a second one and loses it."""
    return session_cache.get("change of regions", run_change)


def run_change() -> Change:
    """Add the second region, and remove it before and after the store is without it."""
    with Simulation("prod") as stack:
        stack.up(EXAMPLE_SETTINGS)
        regions, before = Regions(stack.cloud), state_of(stack)
        regions.set_locations([FIRST, SECOND])
        stack.refresh()
        preview, up, again = stack.preview(TWO_REGIONS), stack.up(TWO_REGIONS), stack.up(TWO_REGIONS)
        early_removal_error = error_of_up(stack, EXAMPLE_SETTINGS)
        regions.update_account(consistencyPolicy={"defaultConsistencyLevel": "Session"}, enableAutomaticFailover=False)
        regions.set_locations([FIRST])
        stack.refresh()
        removal = stack.up(EXAMPLE_SETTINGS)
        return Change(before, preview, up, again, early_removal_error, removal, state_of(stack))


def error_of_up(stack: Simulation, settings: Mapping[str, str]) -> str:
    """Return the error of `up`."""
    with pytest.raises(ProgramError) as error:
        stack.up(settings)
    return str(error.value)


def state_of(stack: Simulation) -> Mapping[str, str]:
    """Return the inputs of each resource of a stack as text."""
    return {urn: json.dumps(each.inputs, sort_keys=True) for urn, each in stack.state.items()}


def test_store_without_the_region_is_refused() -> None:
    """Azure accepts a change of regions alone. The message names the command."""
    settings = {"image": "none"}
    with Simulation("prod") as stack:
        stack.up({**EXAMPLE_SETTINGS, **settings})
        error = error_of_up(stack, {**TWO_REGIONS, **settings})

    assert f"The store exists without the region {SECOND}" in error
    assert "az cosmosdb update --locations" in error


def test_second_region_of_an_existing_stack_replaces_nothing(change: Change) -> None:
    """The store, the policy's choice of backend, and nothing else is updated; a second run changes nothing."""
    updates = {change.up.goals[urn].token for urn in change.up.urns("update")}

    assert {f"{AZURE}{STORE}", f"{AZURE}apimanagement:PolicyFragment"} == updates
    assert set() == change.preview.urns("replace", "delete") == change.up.urns("replace", "delete")
    assert set() == change.again.changes


def test_removal_of_the_region_needs_its_order(change: Change) -> None:
    """Azure refuses it while the store has the region, and afterwards the stack is what it was before."""
    assert "locations cannot change together with" in change.early_removal_error
    assert change.before == change.after
    assert set() == change.removal.urns("replace")
