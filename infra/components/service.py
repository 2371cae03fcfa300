"""The service itself: one container, its settings and secrets, its health, its replicas and revisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import app

from components.environment import Environment
from components.identity import Identity
from components.registry import Registry
from components.site import Site
from components.store import Store
from components.vault import GATEWAY_SAYS, GATEWAY_SECRETS, SUBSCRIPTION, TELEMETRY, Vault, signing
from stack import SYSTEM

PORT = 8_080
# The service finds its own signing keys in this folder of the one it is told.
KEYS, PLATFORM_KEYS = "/keys", "/keys/platform"
# What the gateway says of where a caller is; whatever a caller says itself is overwritten there.
CLIENT_ADDRESS_HEADER = "X-Client-Address"
# Requests under way get 20 s at a stop, and what is traced 5 s more; then some for what nobody thought of.
TERMINATION_SECONDS = 45
# Waiting polls cost no CPU and are no load. Each replica follows the log and may append, so there are few.
CPU_PERCENT = 70
WAKING_REQUESTS = 500
REPLICAS = {False: (0, 2), True: (2, 6)}
SIZES = {False: (0.5, "1Gi"), True: (1.0, "2Gi")}


@dataclass(frozen=True, kw_only=True)
class ServiceArgs:
    """Where it runs and as whom, what it stands on, and the address that the world knows it by."""

    site: Site
    environment: Environment
    identity: Identity
    registry: Registry
    store: Store
    vault: Vault
    public_url: pulumi.Output[str]
    # What must be before it starts: who may do what, and the names of what it asks.
    after: Sequence[pulumi.Resource]


class Service(pulumi.ComponentResource):
    """The container app. Two revisions may share the traffic; nobody reaches it but by the gateway."""

    id: pulumi.Output[str]
    url: pulumi.Output[str]
    revision: pulumi.Output[str]

    def __init__(self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Service", name, None, opts)
        self._args = args
        made = app.ContainerApp(
            SYSTEM,
            resource_group_name=args.site.place.group,
            location=args.site.place.location,
            # Its address is made of this name: nothing that depends on it changes with a new image.
            container_app_name=SYSTEM,
            environment_id=args.environment.id,
            workload_profile_name="Consumption",
            identity=app.ManagedServiceIdentityArgs(type="UserAssigned", user_assigned_identities=[args.identity.id]),
            configuration=self._configuration(),
            template=self._template(),
            tags=args.site.place.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.after, delete_before_replace=True),
        )
        self.id = made.id
        self.url = pulumi.Output.concat("https://", SYSTEM, ".", args.environment.domain)
        self.revision = made.latest_revision_name
        self.register_outputs({"url": self.url})

    def _configuration(self) -> app.ConfigurationArgs:
        return app.ConfigurationArgs(
            active_revisions_mode="Multiple",
            max_inactive_revisions=5,
            registries=[
                app.RegistryCredentialsArgs(server=self._args.registry.server, identity=self._args.identity.id)
            ],
            secrets=[
                app.SecretArgs(name=name, key_vault_url=kept.url, identity=self._args.identity.id)
                for name, kept in self._args.vault.kept.items()
                if name != GATEWAY_SAYS
            ],
            ingress=app.IngressArgs(
                # To the environment's outside, which in production is the network and not the world.
                external=True,
                target_port=PORT,
                transport="http",
                allow_insecure=False,
                traffic=self._traffic(),
            ),
        )

    def _traffic(self) -> Sequence[app.TrafficWeightArgs]:
        """The newest revision gets its part as soon as it is ready, the stable one what is left."""
        release = self._args.site.stack.release
        newest = app.TrafficWeightArgs(latest_revision=True, weight=release.newest_weight, label="newest")
        if not release.stable_revision:
            return [newest]
        rest = 100 - release.newest_weight
        return [newest, app.TrafficWeightArgs(revision_name=release.stable_revision, weight=rest, label="stable")]

    def _template(self) -> app.TemplateArgs:
        least, most = REPLICAS[self._args.site.stack.production]
        cpu, memory = SIZES[self._args.site.stack.production]
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
            scale=app.ScaleArgs(min_replicas=least, max_replicas=most, rules=_rules(wakes=least == 0)),
            termination_grace_period_seconds=TERMINATION_SECONDS,
            volumes=[app.VolumeArgs(name="keys", storage_type="Secret", secrets=self._keys())],
        )

    def _keys(self) -> Sequence[app.SecretVolumeItemArgs]:
        """The newest by file name signs."""
        return [
            app.SecretVolumeItemArgs(secret_ref=signing(name), path=f"{rank:02}-{name}.pem")
            for rank, name in enumerate(self._args.site.stack.signing_keys)
        ]

    def _environment(self) -> Sequence[app.EnvironmentVarArgs]:
        plain = [app.EnvironmentVarArgs(name=name, value=value) for name, value in self._plain().items()]
        secret = {"EVENTFEED_GATEWAY_SECRET": GATEWAY_SECRETS, "APPLICATIONINSIGHTS_CONNECTION_STRING": TELEMETRY}
        if SUBSCRIPTION in self._args.vault.kept:
            secret["EVENTFEED_PLATFORM_SUBSCRIPTION_KEY"] = SUBSCRIPTION
        return [*plain, *(app.EnvironmentVarArgs(name=name, secret_ref=kept) for name, kept in secret.items())]

    def _plain(self) -> Mapping[str, pulumi.Input[str]]:
        """What is no secret: the service's settings, who it is to Azure, and how it sends what it sees."""
        args, stack = self._args, self._args.site.stack
        people = stack.idporten and {
            "EVENTFEED_IDPORTEN_ISSUER": stack.idporten.url,
            "EVENTFEED_IDPORTEN_AUDIENCES": stack.idporten.audiences,
        }
        return {
            "EVENTFEED_STORE": args.store.url,
            "EVENTFEED_HOST": "0.0.0.0",  # noqa: S104  # all of the container's own addresses
            "EVENTFEED_PORT": str(PORT),
            "EVENTFEED_PUBLIC_URL": args.public_url,
            "EVENTFEED_KEYS": KEYS,
            "EVENTFEED_RETENTION_DAYS": str(stack.retention_days),
            "EVENTFEED_MASKINPORTEN_ISSUER": stack.maskinporten.url,
            "EVENTFEED_MASKINPORTEN_AUDIENCES": stack.maskinporten.audiences,
            **(people or {}),
            "EVENTFEED_PLATFORM_URL": stack.platform.url,
            "EVENTFEED_PLATFORM_ORGS_URL": stack.platform.orgs_url,
            "EVENTFEED_CLIENT_ADDRESS_HEADER": CLIENT_ADDRESS_HEADER,
            "EVENTFEED_LOG_FORMAT": "json",
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
            "AZURE_CLIENT_ID": args.identity.client_id,
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": pulumi.Output.concat(
                "Authorization=AAD;ClientId=", args.identity.client_id
            ),
            # The agent tells its address itself, and speaks nothing else.
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_SERVICE_NAME": SYSTEM,
            "OTEL_RESOURCE_ATTRIBUTES": f"deployment.environment.name={stack.name}",
        }


def _rules(*, wakes: bool) -> Sequence[app.ScaleRuleArgs]:
    """By CPU; that counts only while something runs, so a request wakes what sleeps."""
    waking = app.ScaleRuleArgs(
        name="waking", http=app.HttpScaleRuleArgs(metadata={"concurrentRequests": str(WAKING_REQUESTS)})
    )
    busy = app.ScaleRuleArgs(
        name="busy",
        custom=app.CustomScaleRuleArgs(type="cpu", metadata={"type": "Utilization", "value": str(CPU_PERCENT)}),
    )
    return [busy, waking] if wakes else [busy]


def _probes() -> Sequence[app.ContainerAppProbeArgs]:
    """Started within two minutes, or again; living, or again; ready, or left alone until it is."""
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
