"""A custom domain of the gateway: every address follows it, and it is added and removed without any other change."""

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest

from tests.infra.gateway_replay import Issuer
from tests.infra.leaves import plain_leaves
from tests.infra.mock_run import AZURE, MockRun, RegisteredResource
from tests.infra.session_cache import SessionCache
from tests.infra.session_runs import SessionRuns
from tests.infra.simulation.cloud import Cloud
from tests.infra.simulation.outside import certificate_vault
from tests.infra.simulation.simulation import ProgramError, Run, Simulation
from tests.infra.simulation.stack_files import DOMAIN_SETTINGS, EXAMPLE_SETTINGS
from tests.infra.simulation.state import State
from tests.infra.test_gateway_replay import PUBLISH, replay
from tests.infra.test_policies import SECRETS_USER

DOMAIN = DOMAIN_SETTINGS["customDomain"]
URL = f"https://{DOMAIN}"
WITH_DOMAIN = {**EXAMPLE_SETTINGS, **DOMAIN_SETTINGS}
GATEWAY = "apimanagement:ApiManagementService"
# The types with the gateway's address in their inputs. The fragment with the secret has none.
FOLLOWERS = {
    *(GATEWAY, "apimanagement:ApiPolicy", "apimanagement:ApiOperationPolicy", "apimanagement:PolicyFragment"),
    *("app:ContainerApp", "applicationinsights:WebTest"),
}


@pytest.fixture(scope="module")
def run(session_runs: SessionRuns) -> MockRun:
    """The production stack with a custom domain."""
    return session_runs.get("prod", DOMAIN_SETTINGS)


def texts(resource: RegisteredResource) -> Iterator[str]:
    """Yield every leaf of the inputs of a resource, as a text."""
    return (str(each) for _, each in plain_leaves(resource.plain))


def test_every_address_follows_the_domain(run: MockRun) -> None:
    """No input contains the host that Azure has assigned; policies, service and availability test name the domain."""
    with_old_host = [each.urn for each in run.resources for text in texts(each) if "azure-api.net" in text]
    with_domain = {each.token.removeprefix(AZURE) for each in run.azure for text in texts(each) if DOMAIN in text}

    assert [] == with_old_host
    assert with_domain == FOLLOWERS
    assert URL == run.outputs["url"]
    assert f"{URL}/health/ready" == run.one("applicationinsights:WebTest").plain["request"]["requestUrl"]


def test_service_has_the_domain_as_its_public_address(run: MockRun) -> None:
    """It is the issuer of tokens, and the base of links, of the OpenAPI document's servers and of problem types."""
    (container,) = run.one("app:ContainerApp").plain["template"]["containers"]

    assert {"name": "EVENTFEED_PUBLIC_URL", "value": URL} in container["env"]


def test_outputs_name_the_record_to_set(run: MockRun, prod: MockRun) -> None:
    """The host to point to is an output before there is a domain, and the record one with it."""
    host = prod.outputs["gatewayHost"]

    assert f"https://{host}" == prod.outputs["url"]
    assert [{"type": "CNAME", "name": DOMAIN, "value": host}] == run.outputs["dnsRecords"]
    assert "dnsRecords" not in prod.outputs


def test_certificate_is_read_by_an_identity_for_nothing_else(run: MockRun) -> None:
    """The identity may read the secrets of the certificate's vault, and has no other role."""
    gateway, identity = run.one(GATEWAY).plain, run.one("managedidentity:UserAssignedIdentity", "domain")
    assignment = run.one("authorization:RoleAssignment", "domain").plain
    (host_name,) = gateway["hostnameConfigurations"]
    holders = [each.plain["principalId"] for each in run.of("authorization:RoleAssignment")]

    assert ("SystemAssigned, UserAssigned", {identity.id: {}}) == (
        gateway["identity"]["type"],
        gateway["identity"]["userAssignedIdentities"],
    )
    assert ("Proxy", DOMAIN, "KeyVault") == tuple(host_name[key] for key in ("type", "hostName", "certificateSource"))
    assert "https://agency.vault.azure.net/secrets/events" == host_name["keyVaultId"]
    assert DOMAIN_SETTINGS["domainCertificate"].rpartition("/secrets/")[0] == assignment["scope"]
    assert assignment["roleDefinitionId"].endswith(SECRETS_USER)
    assert 1 == holders.count(assignment["principalId"])


def test_stack_without_a_domain_has_nothing_of_it(prod: MockRun, run: MockRun) -> None:
    """Its gateway has one identity and no host name; with the domain only the resources of the domain are new."""
    gateway = prod.one(GATEWAY).plain
    additions = {each.urn for each in run.resources} - {each.urn for each in prod.resources}

    assert {"type": "SystemAssigned"} == gateway["identity"]
    assert "hostnameConfigurations" not in gateway
    assert {urn.split("::")[2].rpartition("$")[2].removeprefix(AZURE) for urn in additions} == {
        *("eventfeed:infra:DomainAccess", "managedidentity:UserAssignedIdentity", "authorization:RoleAssignment")
    }


def test_tokens_of_the_old_address_are_refused(run: MockRun, prod: MockRun) -> None:
    """Their issuer is the old address: clients exchange their token again. A token of the new issuer passes."""
    old, new = (Issuer(f"{each.outputs['url']}/authentication/api/v1/openid/") for each in (prod, run))
    gateway = replay(run, PUBLISH, new)

    assert 401 == gateway.send({"Authorization": f"Bearer {old.token()}"}).status
    assert gateway.send({"Authorization": f"Bearer {new.token()}"}).status is None


class DomainChange(NamedTuple):
    """The runs of a stack that gets a domain and loses it, and the states before and after."""

    before: Mapping[str, State]
    # Without the DNS record.
    early_error: str
    up: Run
    again: Run
    removal: Run
    after: Mapping[str, State]
    # Without the certificate.
    certificate_error: str


@pytest.fixture(scope="module")
def change(session_cache: SessionCache) -> DomainChange:
    """A development stack that gets a custom domain and loses it."""
    return session_cache.get("custom domain", run_change)


def run_change() -> DomainChange:
    """Add a domain before and after its record is set, and remove it."""
    with Simulation("dev", Cloud(certificate_vault())) as stack:
        first = stack.up(EXAMPLE_SETTINGS)
        before = dict(stack.state)
        early_error = error_of_up(stack)
        stack.cloud.dns[DOMAIN] = str(first.outputs["gatewayHost"])
        up, again = stack.up(WITH_DOMAIN), stack.up(WITH_DOMAIN)
        removal, after = stack.up(EXAMPLE_SETTINGS), dict(stack.state)
        stack.cloud.delete(DOMAIN_SETTINGS["domainCertificate"].rpartition("/secrets/")[0])
        return DomainChange(before, early_error, up, again, removal, after, error_of_up(stack))


def error_of_up(stack: Simulation) -> str:
    """Return the error of `up` with the domain."""
    with pytest.raises(ProgramError) as error:
        stack.up(WITH_DOMAIN)
    return str(error.value)


def tokens(run: Run, *verbs: str) -> set[str]:
    """Return the types of the resources with one of these steps."""
    return {urn.split("::")[2].rpartition("$")[2].removeprefix(AZURE) for urn in run.urns(*verbs)}


def test_domain_without_its_record_is_refused(change: DomainChange) -> None:
    """Azure names the missing record; the addresses that clients use have not changed by then."""
    assert "CustomHostnameOwnershipCheckFailed: events.example.no has no CNAME record" in change.early_error


def test_domain_without_its_certificate_is_refused(change: DomainChange) -> None:
    """The role for the vault cannot be assigned."""
    assert "vaults/agency does not exist" in change.certificate_error


def test_domain_updates_only_what_has_the_address(change: DomainChange) -> None:
    """The availability test is one of production. A second run changes nothing."""
    assert tokens(change.up, "update") == FOLLOWERS - {"applicationinsights:WebTest"}
    assert set() == change.up.urns("replace", "delete")
    assert set() == change.again.changes
    assert URL == change.up.outputs["url"]


def test_removed_domain_leaves_the_stack_as_it_was(change: DomainChange) -> None:
    """Every resource has its inputs from before; identity and role of the domain are deleted."""
    before, after = (
        {urn: json.dumps(each.inputs, sort_keys=True) for urn, each in states.items()}
        for states in (change.before, change.after)
    )

    assert before == after
    assert {"managedidentity:UserAssignedIdentity", "authorization:RoleAssignment"} == tokens(
        change.removal, "delete"
    ) - {"eventfeed:infra:DomainAccess"}
