"""Where images are: built in development, promoted to production by digest."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import containerregistry

from components.identity import Identity
from components.roles import ACR_PULL, Grant, assigned
from components.site import Site
from stack import SYSTEM

DOCKERFILE = "service/Dockerfile"


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """Where the registry is, who pulls from it, and who looks at it."""

    site: Site
    identity: Identity


class Registry(pulumi.ComponentResource):
    """A registry without an administrator, and the image that runs: given by digest, or built here."""

    server: pulumi.Output[str]
    image: pulumi.Output[str]

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Registry", name, None, opts)
        self._args, production = args, args.site.stack.production
        self._mine = pulumi.ResourceOptions(parent=self)
        registry = containerregistry.Registry(
            SYSTEM,
            resource_group_name=args.site.place.group,
            location=args.site.place.location,
            sku=containerregistry.SkuArgs(name="Premium" if production else "Basic"),
            admin_user_enabled=False,
            anonymous_pull_enabled=False,
            public_network_access="Disabled" if production else "Enabled",
            # By this an image is brought in from another registry.
            network_rule_bypass_options="AzureServices",
            zone_redundancy="Enabled" if production else "Disabled",
            tags=args.site.place.tags,
            opts=self._mine,
        )
        assigned(
            "registry",
            Grant(principal_id=args.identity.principal_id, role=ACR_PULL, scope=registry.id),
            self._mine,
        )
        if args.site.network:
            args.site.network.endpoint("registry", "registry", registry.id, parent=self)
        logs = ["ContainerRegistryLoginEvents", "ContainerRegistryRepositoryEvents"]
        args.site.observability.watch("registry", registry.id, logs=logs, parent=self)
        self.server = registry.login_server
        self.image = pulumi.Output.concat(self.server, "/", self._reference(registry))
        self.register_outputs({"server": self.server})

    def _reference(self, registry: containerregistry.Registry) -> pulumi.Input[str]:
        """The image within the registry, by digest."""
        release = self._args.site.stack.release
        return release.image or self._built(registry)

    def _built(self, registry: containerregistry.Registry) -> pulumi.Output[str]:
        """Built where it is kept, so that the first `pulumi up` has something to run. Another commit builds again."""
        source = self._args.site.stack.release.source
        run = containerregistry.TaskRun(
            SYSTEM,
            resource_group_name=self._args.site.place.group,
            registry_name=registry.name,
            location=self._args.site.place.location,
            force_update_tag=source,
            run_request=containerregistry.DockerBuildRequestArgs(
                type="DockerBuildRequest",
                source_location=source,
                docker_file_path=DOCKERFILE,
                image_names=[f"{SYSTEM}:{source.partition('#')[2].partition(':')[0]}"],
                platform=containerregistry.PlatformPropertiesArgs(os="Linux", architecture="amd64"),
                is_push_enabled=True,
            ),
            opts=self._mine,
        )
        return run.run_result.apply(_digest)


def _digest(result: containerregistry.outputs.RunResponse) -> str:
    """What was built, as the run tells it. Raises `RunError` when nothing was."""
    built = result.output_images or []
    if not built:
        raise pulumi.RunError(f"The registry built no image; its run {result.run_id} tells why: az acr task logs.")
    return f"{SYSTEM}@{built[0].digest}"
