"""The container registry. Development builds the image in it; production imports the image by digest."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import containerregistry

from components.context import Context
from components.identity import Identity
from components.roles import ACR_PULL, Grant, assign_role
from stack import SYSTEM

DOCKERFILE = "service/Dockerfile"


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """The arguments of `Registry`: the identity may pull images."""

    context: Context
    identity: Identity


class Registry(pulumi.ComponentResource):
    """A registry without an administrator account, and the reference of the image to run."""

    server: pulumi.Output[str]
    image: pulumi.Output[str]

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Registry", name, None, opts)
        self._args = args
        self._child_options = pulumi.ResourceOptions(parent=self)
        registry = self._create_registry()
        grant = Grant(principal_id=args.identity.principal_id, role=ACR_PULL, scope=registry.id)
        assign_role("registry", grant, self._child_options)
        if args.context.network:
            args.context.network.create_private_endpoint("registry", "registry", registry.id, parent=self)
        logs = ["ContainerRegistryLoginEvents", "ContainerRegistryRepositoryEvents"]
        args.context.observability.send_logs("registry", registry.id, logs=logs, parent=self)
        self.server = registry.login_server
        image = args.context.stack.release.image or self._build_image(registry)
        self.image = pulumi.Output.concat(self.server, "/", image)
        self.register_outputs({"server": self.server})

    def _create_registry(self) -> containerregistry.Registry:
        group, production = self._args.context.group, self._args.context.stack.production
        return containerregistry.Registry(
            SYSTEM,
            resource_group_name=group.name,
            location=group.location,
            sku=containerregistry.SkuArgs(name="Premium" if production else "Basic"),
            admin_user_enabled=False,
            anonymous_pull_enabled=False,
            public_network_access="Disabled" if production else "Enabled",
            # Required for `az acr import` from another registry.
            network_rule_bypass_options="AzureServices",
            zone_redundancy="Enabled" if production else "Disabled",
            tags=group.tags,
            opts=self._child_options,
        )

    def _build_image(self, registry: containerregistry.Registry) -> pulumi.Output[str]:
        """Build the image in the registry, so that the first `pulumi up` has one. A new commit starts a new build."""
        source = self._args.context.stack.release.source
        run = containerregistry.TaskRun(
            SYSTEM,
            resource_group_name=self._args.context.group.name,
            registry_name=registry.name,
            location=self._args.context.group.location,
            force_update_tag=source,
            run_request=containerregistry.DockerBuildRequestArgs(
                type="DockerBuildRequest",
                source_location=source,
                docker_file_path=DOCKERFILE,
                image_names=[f"{SYSTEM}:{source.partition('#')[2].partition(':')[0]}"],
                platform=containerregistry.PlatformPropertiesArgs(os="Linux", architecture="amd64"),
                is_push_enabled=True,
            ),
            opts=self._child_options,
        )
        return run.run_result.apply(_image_digest)


def _image_digest(result: containerregistry.outputs.RunResponse) -> str:
    """Return the image of a build, by digest. Raises `RunError` when the build produced none."""
    images = result.output_images or []
    if not images:
        raise pulumi.RunError(
            f"The registry built no image. Read the log: az acr task logs --registry NAME --run-id {result.run_id}"
        )
    return f"{SYSTEM}@{images[0].digest}"
