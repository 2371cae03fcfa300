"""The simulated provider over Pulumi's protocol: an engine can refresh and import resources, and sees their drift."""

from collections.abc import Iterator
from typing import NamedTuple

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub

from tests.infra.simulation.cloud import Cloud
from tests.infra.simulation.packages import served_packages
from tests.infra.simulation.wire import Properties, from_struct, is_secret, mark_secret, to_struct

GROUP = "azure-native:resources:ResourceGroup"
VAULT = "azure-native:keyvault:Vault"
SECRET = "azure-native:keyvault:Secret"
TLS_KEY = "tls:index/privateKey:PrivateKey"
SECRET_INPUTS = {"resourceGroupName": "g", "vaultName": "v", "secretName": "s"}


class Packages(NamedTuple):
    """The stubs of the served providers by package, and their cloud."""

    stubs: dict[str, ResourceProviderStub]
    cloud: Cloud

    def create(self, token: str, inputs: Properties) -> provider_pb2.CreateResponse:
        """Create a resource with these inputs."""
        request = provider_pb2.CreateRequest(urn=urn(token), properties=to_struct(inputs))
        response: provider_pb2.CreateResponse = self.stubs[token.partition(":")[0]].Create(request)
        return response

    def read(
        self, token: str, resource_id: str, *, inputs: Properties | None = None, properties: Properties | None = None
    ) -> provider_pb2.ReadResponse:
        """Read a resource with the inputs and outputs that the stack knows: none for an import."""
        request = provider_pb2.ReadRequest(
            id=resource_id, urn=urn(token), inputs=to_struct(inputs or {}), properties=to_struct(properties or {})
        )
        response: provider_pb2.ReadResponse = self.stubs[token.partition(":")[0]].Read(request)
        return response


@pytest.fixture
def packages() -> Iterator[Packages]:
    """The providers on a cloud with a resource group and a vault."""
    cloud = Cloud()
    with served_packages(cloud) as addresses:
        channels = {package: grpc.insecure_channel(address) for package, address in addresses.items()}
        result = Packages({package: ResourceProviderStub(each) for package, each in channels.items()}, cloud)
        result.create(GROUP, {"resourceGroupName": "g", "location": "norwayeast", "tags": {"a": "1"}})
        result.create(VAULT, {"resourceGroupName": "g", "vaultName": "v", "properties": {}})
        yield result
        for channel in channels.values():
            channel.close()


def urn(token: str) -> str:
    """Return the URN of a resource of this type."""
    return f"urn:pulumi:dev::eventfeed::{token}::name"


def test_read_of_an_unchanged_resource_returns_what_the_stack_knows(packages: Packages) -> None:
    """Inputs and outputs are those of the creation."""
    inputs = {"resourceGroupName": "g2", "location": "norwayeast"}
    creation = packages.create(GROUP, inputs)
    response = packages.read(GROUP, creation.id, inputs=inputs, properties=from_struct(creation.properties))

    assert (creation.id, inputs) == (response.id, from_struct(response.inputs))
    assert creation.properties == response.properties


def test_read_of_a_missing_resource_returns_no_id(packages: Packages) -> None:
    """The engine then removes it from the stack."""
    (group,) = packages.cloud.of_type("Microsoft.Resources/resourceGroups")
    response = packages.read(GROUP, f"{group.id}-2", inputs={"resourceGroupName": "g-2"})

    assert not response.id


def test_read_returns_a_change_that_the_stack_did_not_make(packages: Packages) -> None:
    """The engine then knows the inputs that the resource has now."""
    (group,) = packages.cloud.of_type("Microsoft.Resources/resourceGroups")
    state = {"resourceGroupName": "g", "location": "norwayeast", "tags": {"a": "2"}}
    response = packages.read(GROUP, group.id, inputs=state, properties=state)

    assert {**state, "tags": {"a": "1"}} == from_struct(response.inputs)


def test_read_keeps_the_secret_marks_of_the_stack(packages: Packages) -> None:
    """Without them, a refresh would write secrets in clear into the state."""
    inputs = {**SECRET_INPUTS, "properties": {"value": mark_secret("hush")}}
    creation = packages.create(SECRET, inputs)
    same = from_struct(packages.read(SECRET, creation.id, inputs=inputs).inputs)
    other = {**inputs, "properties": {"value": mark_secret("hush"), "contentType": "old"}}
    drift = from_struct(packages.read(SECRET, creation.id, inputs=other).inputs)

    assert inputs == same
    assert is_secret(drift["properties"]["value"])
    assert "contentType" not in drift["properties"]


def test_read_for_an_import_returns_no_secret(packages: Packages) -> None:
    """Azure does not return the value, so the program has to write it again."""
    creation = packages.create(SECRET, {**SECRET_INPUTS, "properties": {"value": mark_secret("hush")}})
    response = packages.read(SECRET, creation.id)

    assert {**SECRET_INPUTS, "properties": {}} == from_struct(response.inputs)
    assert "hush" not in str(response)


def test_read_of_a_generated_value_returns_the_value_of_the_stack(packages: Packages) -> None:
    """A private key exists in the state only, so it cannot be imported."""
    inputs = {"algorithm": "RSA", "rsaBits": 2048}
    creation = packages.create(TLS_KEY, inputs)
    response = packages.read(TLS_KEY, creation.id, inputs=inputs, properties=from_struct(creation.properties))

    assert (creation.id, creation.properties) == (response.id, response.properties)
    assert not packages.read(TLS_KEY, creation.id).id
