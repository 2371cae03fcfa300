"""The event store: a Cosmos DB account without key access, with the containers that the service's engine expects."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi_azure_native import cosmosdb

from components.context import Context
from components.identity import Identity
from components.known_name import known_name
from components.roles import COSMOS_DATA_CONTRIBUTOR, Grant, assignment_name
from stack import SYSTEM

DAY_SECONDS = 86_400
# The smallest autoscale maximum that Azure allows, also its step (RU/s).
THROUGHPUT_MIN = 1_000
# The description that the service's engine uses as well.
CONTAINERS_FILE = Path(__file__).parents[2].joinpath("service", "eventfeed", "log", "cosmos", "containers.json")


class StoreError(pulumi.RunError):
    """The store in Azure is not the one that the program expects. The message says what corrects it."""


@dataclass(frozen=True, kw_only=True)
class StoreArgs:
    """The arguments of `Store`: the identity may read and write documents."""

    context: Context
    identity: Identity


class Store(pulumi.ComponentResource):
    """The account, its database and containers, and the role assignment of the service."""

    url: pulumi.Output[str]
    account_id: pulumi.Output[str]

    def __init__(self, name: str, args: StoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Store", name, None, opts)
        self._args = args
        self._child_options = pulumi.ResourceOptions(parent=self, protect=args.context.stack.production)
        account = self._create_account()
        database = self._create_database(account)
        for container in json.loads(CONTAINERS_FILE.read_text())["containers"]:
            self._create_container(container, account, database=database)
        self._assign_role(account, database)
        if args.context.network:
            args.context.network.create_private_endpoint("store", "Sql", account.id, parent=self)
        args.context.observability.send_logs("store", account.id, logs=["ControlPlaneRequests"], parent=self)
        # The endpoint has the form https://{account}.documents.azure.com:443/.
        host = account.document_endpoint.apply(lambda endpoint: endpoint.removeprefix("https://").split("/")[0])
        if second := args.context.stack.second_region:
            regions = account.locations.apply(lambda locations: _require_region(second.location, locations))
            host = pulumi.Output.all(host, regions).apply(lambda values: str(values[0]))
        self.account_id = account.id
        self.url = pulumi.Output.concat("cosmos://", host, "/", known_name(database))
        self.register_outputs({"url": self.url})

    def _create_account(self) -> cosmosdb.DatabaseAccount:
        group, stack = self._args.context.group, self._args.context.stack
        second, production = stack.second_region, stack.production
        level = cosmosdb.DefaultConsistencyLevel
        return cosmosdb.DatabaseAccount(
            SYSTEM,
            resource_group_name=group.name,
            location=group.location,
            kind="GlobalDocumentDB",
            database_account_offer_type=cosmosdb.DatabaseAccountOfferType.STANDARD,
            locations=[
                cosmosdb.LocationArgs(location_name=location, failover_priority=priority, is_zone_redundant=production)
                for priority, location in enumerate([group.location, *([second.location] if second else [])])
            ],
            enable_multiple_write_locations=False,
            # With two regions and strong consistency, the loss of either one stops writes unless Azure takes it out.
            enable_automatic_failover=second is not None,
            # A write is acknowledged when every region has it: a failover loses none.
            consistency_policy=cosmosdb.ConsistencyPolicyArgs(
                default_consistency_level=level.STRONG if second else level.SESSION
            ),
            # Appends use one partition, the newest. Without this, every partition would be paid as if it were that one.
            enable_per_region_per_partition_autoscale=production,
            capabilities=[] if production else [cosmosdb.CapabilityArgs(name="EnableServerless")],
            # Seven days are free; thirty cost almost as much as the storage.
            backup_policy=cosmosdb.ContinuousModeBackupPolicyArgs(
                type="Continuous",
                continuous_mode_properties=cosmosdb.ContinuousModePropertiesArgs(tier="Continuous7Days"),
            ),
            disable_local_auth=True,
            disable_key_based_metadata_write_access=True,
            minimal_tls_version="Tls12",
            public_network_access="Disabled" if production else "Enabled",
            tags=group.tags,
            opts=self._account_options(),
        )

    def _account_options(self) -> pulumi.ResourceOptions:
        """Return the options of the account. With two regions Azure and the operator decide which one writes.

        An update with the program's order would fail back.
        """
        ignored = ["locations"] if self._args.context.stack.second_region else None
        return pulumi.ResourceOptions.merge(self._child_options, pulumi.ResourceOptions(ignore_changes=ignored))

    def _create_database(self, account: cosmosdb.DatabaseAccount) -> cosmosdb.SqlResourceSqlDatabase:
        return cosmosdb.SqlResourceSqlDatabase(
            SYSTEM,
            resource_group_name=self._args.context.group.name,
            account_name=known_name(account),
            database_name=SYSTEM,
            resource=cosmosdb.SqlDatabaseResourceArgs(id=SYSTEM),
            tags=self._args.context.group.tags,
            opts=self._child_options,
        )

    def _create_container(
        self,
        container: Mapping[str, Any],
        account: cosmosdb.DatabaseAccount,
        *,
        database: cosmosdb.SqlResourceSqlDatabase,
    ) -> None:
        cosmosdb.SqlResourceSqlContainer(
            container["name"],
            resource_group_name=self._args.context.group.name,
            account_name=known_name(account),
            database_name=known_name(database),
            container_name=container["name"],
            resource=cosmosdb.SqlContainerResourceArgs(
                id=container["name"],
                partition_key=cosmosdb.ContainerPartitionKeyArgs(
                    kind="Hash", version=2, paths=[container["partition_key"]]
                ),
                indexing_policy=_indexing_policy(container),
                default_ttl=_ttl_seconds(container, retention_days=self._args.context.stack.retention_days),
            ),
            options=self._throughput(container),
            tags=self._args.context.group.tags,
            opts=self._child_options,
        )

    def _throughput(self, container: Mapping[str, Any]) -> cosmosdb.CreateUpdateOptionsArgs | None:
        """Return the autoscale maximum; None in development, because a serverless account accepts none."""
        stack = self._args.context.stack
        if not stack.production:
            return None
        steps = math.ceil(container["throughput_share"] * stack.throughput / THROUGHPUT_MIN)
        maximum = max(1, steps) * THROUGHPUT_MIN
        return cosmosdb.CreateUpdateOptionsArgs(
            autoscale_settings=cosmosdb.AutoscaleSettingsArgs(max_throughput=maximum)
        )

    def _assign_role(self, account: cosmosdb.DatabaseAccount, database: cosmosdb.SqlResourceSqlDatabase) -> None:
        """Allow the service to read and write documents of this database, and nothing else."""
        scope = pulumi.Output.concat(account.id, "/dbs/", known_name(database))
        grant = Grant(principal_id=self._args.identity.principal_id, role=COSMOS_DATA_CONTRIBUTOR, scope=scope)
        cosmosdb.SqlResourceSqlRoleAssignment(
            SYSTEM,
            resource_group_name=self._args.context.group.name,
            account_name=known_name(account),
            role_assignment_id=assignment_name(grant),
            role_definition_id=pulumi.Output.concat(account.id, "/sqlRoleDefinitions/", grant.role),
            principal_id=grant.principal_id,
            scope=scope,
            opts=pulumi.ResourceOptions(parent=self),
        )


def _require_region(location: str, regions: Sequence[cosmosdb.outputs.LocationResponse]) -> Sequence[str]:
    """Return the names of an account's regions. Raises `StoreError` for an account that exists without this one."""
    # Azure's responses have names with spaces and capital letters.
    names = [str(each.location_name).replace(" ", "").casefold() for each in regions]
    if location not in names:
        raise StoreError(
            f"The store exists without the region {location}, and Azure accepts a change of regions alone. During an "
            "outage wait until Azure brings the region back (docs/deploy.md, Lose a region). Otherwise add it by "
            "`az cosmosdb update --locations` (Add a second region). Then run `pulumi refresh`"
        )
    return names


def _ttl_seconds(container: Mapping[str, Any], *, retention_days: int) -> int | None:
    ttl = container["time_to_live"]
    return None if ttl is None else math.ceil(ttl["retentions"] * retention_days * DAY_SECONDS) + ttl["margin_seconds"]


def _indexing_policy(container: Mapping[str, Any]) -> cosmosdb.IndexingPolicyArgs:
    return cosmosdb.IndexingPolicyArgs(
        automatic=True,
        indexing_mode="consistent",
        included_paths=[cosmosdb.IncludedPathArgs(path=path) for path in container["indexed"]],
        excluded_paths=[cosmosdb.ExcludedPathArgs(path="/*")],
        composite_indexes=[
            [cosmosdb.CompositePathArgs(path=path, order="ascending") for path in paths]
            for paths in container["composite"]
        ],
    )
