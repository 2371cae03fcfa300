"""The service as a container app: settings, secrets, probes, scaling and traffic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import app

from components.context import Context
from components.environment import Environment
from components.identity import Identity
from components.registry import Registry
from components.store import Store
from components.vault import GATEWAY_SECRETS, SUBSCRIPTION, TELEMETRY, Vault, signing_secret_name
from stack import SYSTEM

PORT = 8_080
# EVENTFEED_KEYS, and the subfolder of it in which the service looks for the signing keys.
KEYS, PLATFORM_KEYS = "/keys", "/keys/platform"
# The header with the caller's address. The gateway overwrites a value that a caller sends.
CLIENT_ADDRESS_HEADER = "X-Client-Address"
# On SIGTERM the service gives requests 20 s and the export of traces 5 s; the rest is a margin.
TERMINATION_SECONDS = 45
# Waiting polls use no CPU, so CPU measures load. Every replica follows the log and may append: keep them few.
CPU_PERCENT = 70
# Development scales by requests: they cost nothing to count.
CONCURRENT_REQUESTS = 500
# The label of the newest revision, a part of its address.
NEWEST = "newest"
# Without a replica nothing would be delivered to subscriptions.
REPLICAS = {False: (1, 2), True: (2, 6)}
# In a second region: what takes over at once, and what carries the whole load.
STANDBY_REPLICAS = (1, 6)
SIZES = {False: (0.5, "1Gi"), True: (1.0, "2Gi")}


@dataclass(frozen=True, kw_only=True)
class ServiceArgs:
    """The arguments of `Service`. `public_url` is the gateway's address."""

    context: Context
    environment: Environment
    identity: Identity
    registry: Registry
    store: Store
    vault: Vault
    public_url: pulumi.Output[str]
    # The least and the most.
    replicas: tuple[int, int]
    # The components whose role assignments and DNS records the app needs when it starts.
    after: Sequence[pulumi.Resource]


class Service(pulumi.ComponentResource):
    """The container app. Two revisions may share the traffic; in production only the gateway reaches it."""

    id: pulumi.Output[str]
    url: pulumi.Output[str]
    revision: pulumi.Output[str]
    # The address of the newest revision alone, which only development has outside of a network.
    newest_url: pulumi.Output[str] | str

    def __init__(self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Service", name, None, opts)
        self._args, group = args, args.context.group
        container_app = app.ContainerApp(
            SYSTEM,
            resource_group_name=group.name,
            location=group.location,
            # A fixed name gives a fixed address, so a new image changes no dependent resource.
            container_app_name=SYSTEM,
            environment_id=args.environment.id,
            workload_profile_name="Consumption",
            identity=app.ManagedServiceIdentityArgs(type="UserAssigned", user_assigned_identities=[args.identity.id]),
            configuration=self._configuration(),
            template=self._template(),
            tags=group.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.after, delete_before_replace=True),
        )
        self.id = container_app.id
        self.url = pulumi.Output.concat("https://", SYSTEM, ".", args.environment.domain)
        self.revision = container_app.latest_revision_name
        newest_url = pulumi.Output.concat("https://", SYSTEM, "---", NEWEST, ".", args.environment.domain)
        self.newest_url = "" if args.context.stack.production else newest_url
        self.register_outputs({"url": self.url})

    def _configuration(self) -> app.ConfigurationArgs:
        return app.ConfigurationArgs(
            active_revisions_mode="Multiple",
            max_inactive_revisions=5,
            registries=[
                app.RegistryCredentialsArgs(server=self._args.registry.server, identity=self._args.identity.id)
            ],
            secrets=[
                app.SecretArgs(name=name, key_vault_url=secret.url, identity=self._args.identity.id)
                for name, secret in self._args.vault.secrets.items()
            ],
            ingress=app.IngressArgs(
                # External to the environment: in production that is the network, not the internet.
                external=True,
                target_port=PORT,
                transport="http",
                allow_insecure=False,
                traffic=self._traffic(),
            ),
        )

    def _traffic(self) -> Sequence[app.TrafficWeightArgs]:
        """Return the newest revision's weight, and the rest for the stable revision if there is one."""
        release = self._args.context.stack.release
        newest = app.TrafficWeightArgs(latest_revision=True, weight=release.newest_weight, label=NEWEST)
        if not release.stable_revision:
            return [newest]
        rest = 100 - release.newest_weight
        return [newest, app.TrafficWeightArgs(revision_name=release.stable_revision, weight=rest, label="stable")]

    def _template(self) -> app.TemplateArgs:
        minimum, maximum = self._args.replicas
        cpu, memory = SIZES[self._args.context.stack.production]
        return app.TemplateArgs(
            containers=[
                app.ContainerArgs(
                    name=SYSTEM,
                    image=self._args.registry.image,
                    env=self._environment(),
                    resources=app.ContainerResourcesArgs(cpu=cpu, memory=memory),
                    probes=_probes(),
                    volume_mounts=[app.VolumeMountArgs(volume_name="keys", mount_path=PLATFORM_KEYS)],
                )
            ],
            scale=app.ScaleArgs(min_replicas=minimum, max_replicas=maximum, rules=[self._scale_rule()]),
            termination_grace_period_seconds=TERMINATION_SECONDS,
            volumes=[app.VolumeArgs(name="keys", storage_type="Secret", secrets=self._key_files())],
        )

    def _scale_rule(self) -> app.ScaleRuleArgs:
        """Return the only rule: an http rule has no effect beside one by CPU."""
        if self._args.context.stack.production:
            metadata = {"type": "Utilization", "value": str(CPU_PERCENT)}
            return app.ScaleRuleArgs(name="busy", custom=app.CustomScaleRuleArgs(type="cpu", metadata=metadata))
        metadata = {"concurrentRequests": str(CONCURRENT_REQUESTS)}
        return app.ScaleRuleArgs(name="busy", http=app.HttpScaleRuleArgs(metadata=metadata))

    def _key_files(self) -> Sequence[app.SecretVolumeItemArgs]:
        """Return a file for each signing key. The service signs with the last one in the order of file names."""
        return [
            app.SecretVolumeItemArgs(secret_ref=signing_secret_name(name), path=f"{rank:02}-{name}.pem")
            for rank, name in enumerate(self._args.context.stack.signing_keys)
        ]

    def _environment(self) -> Sequence[app.EnvironmentVarArgs]:
        plain = [app.EnvironmentVarArgs(name=name, value=value) for name, value in self._plain_settings().items()]
        references = {"EVENTFEED_GATEWAY_SECRET": GATEWAY_SECRETS, "APPLICATIONINSIGHTS_CONNECTION_STRING": TELEMETRY}
        if self._args.context.stack.platform.subscription_key is not None:
            references["EVENTFEED_PLATFORM_SUBSCRIPTION_KEY"] = SUBSCRIPTION
        return [
            *plain,
            *(app.EnvironmentVarArgs(name=name, secret_ref=secret) for name, secret in references.items()),
        ]

    def _plain_settings(self) -> Mapping[str, pulumi.Input[str]]:
        """Return the settings that are not secret: of the service, its Azure identity and its telemetry."""
        args, stack = self._args, self._args.context.stack
        idporten = stack.idporten and {
            "EVENTFEED_IDPORTEN_ISSUER": stack.idporten.url,
            "EVENTFEED_IDPORTEN_AUDIENCES": stack.idporten.audiences,
        }
        return {
            "EVENTFEED_STORE": args.store.url,
            "EVENTFEED_HOST": "0.0.0.0",  # noqa: S104  # every address of the container
            "EVENTFEED_PORT": str(PORT),
            "EVENTFEED_PUBLIC_URL": args.public_url,
            "EVENTFEED_KEYS": KEYS,
            "EVENTFEED_RETENTION_DAYS": str(stack.retention_days),
            "EVENTFEED_MASKINPORTEN_ISSUER": stack.maskinporten.url,
            "EVENTFEED_MASKINPORTEN_AUDIENCES": stack.maskinporten.audiences,
            **(idporten or {}),
            "EVENTFEED_PLATFORM_URL": stack.platform.url,
            "EVENTFEED_PLATFORM_ORGS_URL": stack.platform.orgs_url,
            "EVENTFEED_PLATFORM_ISSUER": stack.platform.issuer,
            "EVENTFEED_APP_TOKEN_KEYS": stack.platform.app_token_keys,
            "EVENTFEED_CLIENT_ADDRESS_HEADER": CLIENT_ADDRESS_HEADER,
            "EVENTFEED_LOG_FORMAT": "json",
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
            "AZURE_CLIENT_ID": args.identity.client_id,
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": pulumi.Output.concat(
                "Authorization=AAD;ClientId=", args.identity.client_id
            ),
            # Azure sets the agent's OTLP endpoint itself. The agent accepts gRPC only.
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_SERVICE_NAME": SYSTEM,
            "OTEL_RESOURCE_ATTRIBUTES": f"deployment.environment.name={stack.name}",
        }


def _probes() -> Sequence[app.ContainerAppProbeArgs]:
    """Return the probes: restart after 120 s without a start or 30 s without a response; no traffic until ready."""
    return [
        _probe("Startup", "/health/live", period=2, failures=60),
        _probe("Liveness", "/health/live", period=10, failures=3),
        _probe("Readiness", "/health/ready", period=5, failures=3),
    ]


def _probe(kind: str, path: str, *, period: int, failures: int) -> app.ContainerAppProbeArgs:
    return app.ContainerAppProbeArgs(
        type=kind,
        http_get=app.ContainerAppProbeHttpGetArgs(path=path, port=PORT, scheme="HTTP"),
        period_seconds=period,
        timeout_seconds=3,
        failure_threshold=failures,
    )
